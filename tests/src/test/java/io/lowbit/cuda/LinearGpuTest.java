package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Products on the card keep the bound that the CPU keeps, for every scheme, kernel, type and odd shape. */
@Tag("gpu")
class LinearGpuTest {
    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};
    private static final long[][] SHAPES = {{1, 1}, {5, 3}, {65, 127}, {130, 259}, {33, 700}, {64, 256}, {192, 512}, {256, 1024}};
    private static final long[] ROWS = {1, 2, 3, 8, 9, 16, 17, 65, 100};

    /** Every kernel forced in turn, over all that it supports: the bound, and the same bits twice. */
    @ParameterizedTest(name = "{0}, seed 11")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void everyKernelKeepsTheBound(Architecture architecture) {
        Gpu.require();
        for (ProductKernel kernel : Catalogue.kernels(architecture)) {
            if (!Products.takes(kernel, null)) {
                continue;  // W8a8GpuTest forces those that quantize activations
            }
            try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always(kernel.name()))) {
                int cases = IntStream.range(0, Schemes.ALL.size()).parallel()
                        .map(s -> bound(backend, kernel, Schemes.ALL.get(s), 11 + s)).sum();
                System.out.println(architecture + " " + kernel.name() + ": " + cases + " products within the bound");
                assertTrue(cases > 0, kernel.name() + " supports no case of the table: add one");
            }
        }
    }

    private static int bound(CudaBackend backend, ProductKernel kernel, Scheme scheme, long seed) {
        int cases = 0;
        int turn = 0;
        for (long[] shape : SHAPES) {
            if (!Products.some(kernel, MatrixShape.plain(scheme, shape[0], shape[1]), null)) {
                continue;
            }
            try (Arena arena = Arena.ofShared()) {
                QuantizedMatrix w = Schemes.quantized(arena, scheme, shape[0], shape[1], seed);
                double[][] weights = Products.weights(w);
                for (long m : ROWS) {
                    DType xType = TYPES[turn % 3];
                    DType yType = TYPES[turn / 3 % 3];
                    Tensor bias = turn % 2 == 0 ? null : Schemes.normal(arena, TYPES[turn / 2 % 3], seed + 1, 1, shape[0]);
                    turn++;
                    if (m > kernel.mostRows() || !kernel.supports(MatrixShape.plain(scheme, shape[0], shape[1]), xType, yType, null)) {
                        continue;
                    }
                    Tensor x = Schemes.normal(arena, xType, seed + m, 1, m, shape[1]);
                    Tensor y = Tensor.allocate(arena, yType, m, shape[0]);
                    Tensor again = Tensor.allocate(arena, yType, m, shape[0]);
                    y.data().fill((byte) 0xff);
                    String what = kernel.name() + " " + w + " M=" + m + " x " + xType + " y " + yType + " seed " + seed;
                    try (CudaLinear layer = backend.load(w, bias)) {
                        assertEquals(kernel, layer.kernel(m, xType, yType), what);
                        layer.forward(x, y);
                        layer.forward(x, again);
                        adds(layer, x, yType, seed, what);
                    }
                    Products.check(what, weights, Products.rows(x), bias, y, kernel.operandRounding(scheme, xType));
                    assertEquals(-1, y.data().mismatch(again.data()), () -> what + ": two runs differ");
                    cases++;
                }
            }
        }
        return cases;
    }

    /** Adding to y gives the bits of the F32 product followed by the addition. */
    private static void adds(CudaLinear layer, Tensor x, DType yType, long seed, String what) {
        long n = layer.outFeatures();
        try (Arena arena = Arena.ofShared()) {
            Tensor product = Tensor.allocate(arena, DType.F32, x.dim(0), n);
            layer.forward(x, product);
            Tensor y = Schemes.normal(arena, yType, seed + 2, 1, x.dim(0), n);
            Tensor expected = Tensor.allocate(arena, yType, x.dim(0), n);
            for (long i = 0; i < expected.elements(); i++) {
                expected.setFloat(i, y.getFloat(i) + product.getFloat(i));
            }
            layer.forwardAdd(x, y);
            assertEquals(-1, expected.data().mismatch(y.data()), () -> what + ": adding");
        }
    }

    @Test
    void rowsDoNotDependOnTheOthers() {
        try (CudaBackend backend = Gpu.open(null, KernelChoice.always("linear")); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Nvfp4(), 70, 300, 5);
            Tensor x = Schemes.normal(arena, DType.BF16, 5, 1, 4096, 300);
            Tensor y = Tensor.allocate(arena, DType.F32, 4096, 70);
            Tensor part = Tensor.allocate(arena, DType.F32, 100, 70);
            try (CudaLinear layer = backend.load(w)) {
                layer.forward(x, y);
                layer.forward(x.rows(3000, 3100), part);
            }
            assertEquals(-1, part.data().mismatch(y.rows(3000, 3100).data()));
            Products.check("M=4096", Products.weights(w), Products.rows(x.rows(0, 4096)), null, y);
        }
    }

    /** Matrices of more than 2^31 weights, whose offsets leave 32 bits: one in the canonical layout, one as the table likes it. */
    @ParameterizedTest(name = "[{0}, {1}], seed 3")
    @CsvSource({"66000, 32800", "262400, 8192"})
    void moreThan2To31Weights(long n, long k) {
        assertTrue(n * k > 1L << 31);
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            if (backend.context().freeBytes() < 4L << 30) {
                System.out.println("SKIPPED: a matrix of 2^31 weights needs 4 GiB of free device memory");
                org.junit.jupiter.api.Assumptions.abort("needs 4 GiB of free device memory");
            }
            Scheme.Bnb4 scheme = new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false);
            Tensor codes = Tensor.allocate(arena, DType.U8, n * k / 2);
            Tensor absmax = Tensor.allocate(arena, DType.F32, Math.ceilDiv(n * k, 64L));
            SplittableRandom random = new SplittableRandom(3);
            for (long i = 0; i < codes.data().byteSize(); i += 8) {
                codes.data().set(ValueLayout.JAVA_LONG, i, random.nextLong());
            }
            for (long i = 0; i < absmax.elements(); i++) {
                absmax.setFloat(i, 0.1f + random.nextFloat());
            }
            QuantizedMatrix w = QuantizedMatrix.bnb4(scheme, n, k, codes, absmax);
            Tensor x = Schemes.normal(arena, DType.BF16, 3, 1, 12, k);
            try (CudaLinear layer = backend.load(w)) {
                for (long m : new long[] {2, 12}) {
                    Tensor y = Tensor.allocate(arena, DType.F32, m, n);
                    layer.forward(x.rows(0, m), y);
                    ProductKernel kernel = layer.kernel(m, DType.BF16, DType.F32);
                    System.out.println(w + " in layout " + layer.layout().name() + ", M=" + m + ": " + kernel.name());
                    // The first and last rows, and those around the 2^31st weight.
                    long middle = (1L << 31) / k;
                    for (long row : new long[] {0, 1, n / 2, middle - 1, middle, middle + 1, n - 2, n - 1}) {
                        double[][] one = new double[1][(int) k];
                        for (int i = 0; i < k; i++) {
                            one[0][i] = w.value(row, i);
                        }
                        for (long r = 0; r < m; r++) {
                            Tensor single = Tensor.allocate(arena, DType.F32, 1, 1);
                            single.setFloat(0, y.getFloat(r * n + row));
                            Products.check(kernel.name() + " row " + row + " of " + w + " seed 3", one, Products.rows(x.rows(r, r + 1)), null, single,
                                    kernel.operandRounding(scheme, DType.BF16));
                        }
                    }
                }
            }
        }
    }

    @Test
    void deviceTensorsGiveTheBytesOfHostTensors() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Mxfp4(), 77, 130, 9);
            Tensor x = Schemes.normal(arena, DType.F16, 9, 1, 20, 130);
            Tensor y = Tensor.allocate(arena, DType.BF16, 20, 77);
            MemorySegment got = arena.allocate(y.data().byteSize());
            try (CudaLinear layer = backend.load(w); Stream stream = Stream.open(backend.context());
                    DeviceMemory dx = DeviceMemory.allocate(stream, x.data().byteSize());
                    DeviceMemory dy = DeviceMemory.allocate(stream, y.data().byteSize())) {
                layer.forward(x, y);
                stream.upload(dx.address(), x.data(), dx.bytes());
                layer.forward(stream, DeviceTensor.of(dx, DType.F16, 20, 130), DeviceTensor.of(dy, DType.BF16, 20, 77));
                stream.download(got, dy.address(), dy.bytes());
                stream.synchronize();
                assertEquals(-1, got.mismatch(y.data()));
                // Two replays add twice.
                DeviceTensor to = DeviceTensor.of(dy, DType.BF16, 20, 77);
                try (Graph graph = Graph.capture(stream, () -> layer.forwardAdd(stream, DeviceTensor.of(dx, DType.F16, 20, 130), to))) {
                    graph.launch(stream);
                    graph.launch(stream);
                }
                stream.download(got, dy.address(), dy.bytes());
                stream.synchronize();
                layer.forwardAdd(x, y);
                layer.forwardAdd(x, y);
                assertEquals(-1, got.mismatch(y.data()));
                assertThrows(IllegalArgumentException.class,
                        () -> layer.forward(stream, DeviceTensor.of(dx, DType.F16, 20, 129), DeviceTensor.of(dy, DType.BF16, 20, 77)));
            }
        }
    }

    @Test
    void wrongArgumentsAndClosedThings() {
        try (Arena arena = Arena.ofShared()) {
            CudaBackend backend = Gpu.open();
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Mxfp4(), 4, 6, 1);
            CudaLinear layer = backend.load(w);
            Tensor x = Tensor.allocate(arena, DType.F32, 2, 6);
            Tensor y = Tensor.allocate(arena, DType.F32, 2, 4);
            assertEquals("mxfp4 [4, 6]: expected x [M, 6], got [2, 4]",
                    assertThrows(IllegalArgumentException.class, () -> layer.forward(y, y)).getMessage());
            assertEquals("mxfp4 [4, 6]: expected y [M, 4], got [2, 6]",
                    assertThrows(IllegalArgumentException.class, () -> layer.forward(x, x)).getMessage());
            assertThrows(IllegalArgumentException.class, () -> backend.load(w, Tensor.allocate(arena, DType.F32, 5)));
            assertThrows(IllegalArgumentException.class, () -> layer.forwardQuantized(x, y, ActivationScaling.ROW, Accumulation.EXACT));
            layer.forward(Tensor.allocate(arena, DType.F32, 0, 6), Tensor.allocate(arena, DType.F32, 0, 4));
            Arena shut = Arena.ofShared();
            Tensor gone = Tensor.allocate(shut, DType.F32, 2, 6);
            shut.close();
            assertThrows(IllegalStateException.class, () -> layer.forward(gone, y));
            layer.close();
            layer.close();
            assertEquals("the layer mxfp4 [4, 6] is closed", assertThrows(IllegalStateException.class, () -> layer.forward(x, y)).getMessage());
            CudaLinear open = backend.load(w);
            backend.close();
            backend.close();
            assertThrows(IllegalStateException.class, () -> open.forward(x, y));
            assertThrows(IllegalStateException.class, () -> backend.load(w));
        }
    }
}
