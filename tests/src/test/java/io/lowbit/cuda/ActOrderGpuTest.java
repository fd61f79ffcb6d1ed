package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.lowbit.backend.OddMatrices;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Matrices with act-order on the fast kernels: columns sorted when loaded, activations taken in their order. */
@Tag("gpu")
class ActOrderGpuTest {
    private static final DType[] TYPES = {DType.BF16, DType.F16, DType.F32};
    /** Columns in whole groups and not, of whole 16 bytes and not; more than one pass of the decode kernel. */
    private static final int[][] SHAPES = {{67, 131}, {130, 392}, {72, 2304}, {33, 700}};

    private static List<Scheme.Int4> schemes() {
        return List.of(new Scheme.Int4(Grouping.group(128), true), new Scheme.Int4(Grouping.group(128), false, DType.BF16),
                new Scheme.Int4(Grouping.group(64), false), new Scheme.Int4(Grouping.group(32), true, DType.F32),
                new Scheme.Int4(Grouping.group(256), true, DType.BF16), new Scheme.Int4(Grouping.group(4096), true));
    }

    /** Every kernel that reads records, forced: the bound, the same bits twice, and those again when added to y. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void everyKernelKeepsTheBound(Architecture architecture) {
        Gpu.require();
        LayoutChoice choice = LayoutChoice.all(architecture).stream().filter(c -> c.layout().name().equals("records")).findFirst().orElseThrow();
        try (CudaBackend backend = Gpu.open(architecture, choice.choice())) {
            int[] made = new int[choice.kernels().size()];
            int layers = 0;
            for (Scheme.Int4 scheme : schemes()) {
                for (int[] shape : SHAPES) {
                    try (Arena arena = Arena.ofShared()) {
                        QuantizedMatrix w = OddMatrices.actOrder(arena, scheme, shape[0], shape[1], true);
                        Tensor bias = layers % 2 == 0 ? null : Schemes.normal(arena, DType.F32, 5, 1, shape[0]);
                        double[][] weights = Products.weights(w);
                        try (CudaLinear layer = backend.load(w, bias)) {
                            assertSame(choice.layout(), layer.layout(), w.toString());
                            for (int i = 0; i < made.length; i++) {
                                for (int m : choice.rows(choice.kernels().get(i))) {
                                    made[i] += product(layer, w, weights, bias, choice.kernels().get(i), m, layers + i);
                                }
                            }
                        }
                        layers++;
                    }
                }
            }
            for (int i = 0; i < made.length; i++) {
                String name = choice.kernels().get(i).name();
                System.out.println(architecture + " " + name + ": " + made[i] + " products with act-order within the bound");
                assertEquals(takes(choice.kernels().get(i)), made[i] > 0, name);
            }
        }
    }

    /** True where a kernel takes INT4 at all: some are for codebooks alone. */
    private static boolean takes(ProductKernel kernel) {
        return schemes().stream().anyMatch(scheme -> Arrays.stream(TYPES)
                .anyMatch(x -> kernel.supports(MatrixShape.plain(scheme, 4096, 4096), x, DType.BF16, null)));
    }

    /** One row, with the kernels that the table picks. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void oneRow(Architecture architecture) {
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.byTable())) {
            for (Scheme.Int4 scheme : schemes()) {
                for (int[] shape : new int[][] {{67, 131}, {130, 392}, {72, 2304}, {33, 700}, {40, 9000}}) {
                    try (Arena arena = Arena.ofShared()) {
                        QuantizedMatrix w = OddMatrices.actOrder(arena, scheme, shape[0], shape[1], true);
                        double[][] weights = Products.weights(w);
                        try (CudaLinear layer = backend.load(w)) {
                            for (DType type : TYPES) {
                                ProductKernel kernel = layer.kernel(1, type, DType.F32);
                                assertEquals(1, product(layer, w, weights, null, kernel, 1, Arrays.asList(TYPES).indexOf(type)));
                            }
                        }
                    }
                }
            }
        }
    }

    private static int product(CudaLinear layer, QuantizedMatrix w, double[][] weights, Tensor bias, ProductKernel kernel, int m, int turn) {
        DType xType = TYPES[turn % 3];
        DType yType = TYPES[(turn / 3 + m) % 3];
        if (layer.kernel(m, xType, yType) != kernel) {
            return 0;
        }
        try (Arena arena = Arena.ofShared()) {
            Tensor x = Schemes.normal(arena, xType, turn, 1, m, w.k());
            Tensor y = Tensor.allocate(arena, yType, m, w.n());
            Tensor again = Tensor.allocate(arena, yType, m, w.n());
            y.data().fill((byte) 0xff);
            String what = kernel.name() + " " + w + " act-order M=" + m + " x " + xType + " y " + yType;
            layer.forward(x, y);
            layer.forward(x, again);
            assertEquals(-1, y.data().mismatch(again.data()), () -> what + ": two runs differ");
            for (int row = 0; row < m; row += Math.max(1, m / 7)) {
                Products.check(what + " row " + row, weights, Products.rows(x.rows(row, row + 1)), bias, y.rows(row, row + 1),
                        kernel.operandRounding(w.scheme(), xType));
            }
            Tensor f32 = Tensor.allocate(arena, DType.F32, m, w.n());
            layer.forward(x, f32);
            for (long i = 0; i < y.elements(); i++) {
                again.setFloat(i, y.getFloat(i) + f32.getFloat(i));
            }
            layer.forwardAdd(x, y);
            assertEquals(-1, y.data().mismatch(again.data()), () -> what + ": adding");
        }
        return 1;
    }

    /** More rows of x than a stream has room for in their new order, so they are taken in portions; rows longer than shared memory. */
    @Test
    void manyRowsAndLongRows() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            Scheme.Int4 scheme = new Scheme.Int4(Grouping.group(128), true, DType.BF16);
            for (int[] size : new int[][] {{2100, 8192}, {20, 40_000}}) {
                QuantizedMatrix w = OddMatrices.actOrder(arena, scheme, 24, size[1], true);
                double[][] weights = Products.weights(w);
                try (CudaLinear layer = backend.load(w)) {
                    for (DType type : TYPES) {
                        Tensor x = Schemes.normal(arena, type, 7, 1, size[0], size[1]);
                        Tensor y = Tensor.allocate(arena, DType.F32, size[0], 24);
                        layer.forward(x, y);
                        double rounding = layer.operandRounding(size[0], type, DType.F32);
                        for (int row : new int[] {0, 1, size[0] / 2, 1049, 1050, 1051, 1279, 1280, size[0] - 1}) {
                            if (row < size[0]) {
                                Products.check(w + " act-order, row " + row + " of " + size[0] + " " + type, weights, Products.rows(x.rows(row, row + 1)),
                                        null, y.rows(row, row + 1), rounding);
                            }
                        }
                    }
                }
            }
        }
    }

    /** Two layers of other orders take turns in one graph: what one has brought into its order is not what the next one reads. */
    @Test
    void layersShareAStreamAndAGraph() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            int m = 40;
            int k = 512;
            Scheme.Int4 scheme = new Scheme.Int4(Grouping.group(64), false);
            QuantizedMatrix first = OddMatrices.actOrder(arena, scheme, k, k, true);
            QuantizedMatrix second = OddMatrices.actOrder(arena, new Scheme.Int4(Grouping.group(32), true), 100, k, true);
            Tensor x = Schemes.normal(arena, DType.BF16, 8, 1, m, k);
            Tensor between = Tensor.allocate(arena, DType.BF16, m, k);
            Tensor expected = Tensor.allocate(arena, DType.F32, m, 100);
            MemorySegment got = arena.allocate(expected.data().byteSize());
            try (CudaLinear one = backend.load(first); CudaLinear two = backend.load(second); CudaLinear copy = two.duplicate();
                    Stream stream = Stream.open(backend.context());
                    DeviceMemory dx = DeviceMemory.allocate(stream, x.data().byteSize());
                    DeviceMemory dBetween = DeviceMemory.allocate(stream, between.data().byteSize());
                    DeviceMemory dy = DeviceMemory.allocate(stream, got.byteSize())) {
                one.forward(x, between);
                two.forward(between, expected);
                two.forwardAdd(between, expected);
                stream.upload(dx.address(), x.data(), dx.bytes());
                DeviceTensor xs = DeviceTensor.of(dx, DType.BF16, m, k);
                DeviceTensor betweens = DeviceTensor.of(dBetween, DType.BF16, m, k);
                DeviceTensor ys = DeviceTensor.of(dy, DType.F32, m, 100);
                try (Graph graph = Graph.capture(stream, () -> {
                    one.forward(stream, xs, betweens);
                    two.forward(stream, betweens, ys);
                    copy.forwardAdd(stream, betweens, ys);
                })) {
                    for (int i = 0; i < 20; i++) {
                        stream.fill(dBetween.address(), (byte) 0xff, dBetween.bytes());
                        graph.launch(stream);
                        stream.download(got, dy.address(), dy.bytes());
                        stream.synchronize();
                        assertEquals(-1, got.mismatch(expected.data()), "replay " + i);
                    }
                }
            }
            callersAtOnce(backend, first, second, x, arena);
        }
    }

    private static void callersAtOnce(CudaBackend backend, QuantizedMatrix first, QuantizedMatrix second, Tensor x, Arena arena) {
        long m = x.dim(0);
        try (CudaLinear one = backend.load(first); CudaLinear two = backend.load(second); Stream stream = Stream.open(backend.context());
                DeviceMemory dx = DeviceMemory.allocate(stream, x.data().byteSize());
                DeviceMemory dy = DeviceMemory.allocate(stream, 64 * 4 * m * Math.max(first.n(), second.n()))) {
            CudaLinear[] layers = {one, two};
            Tensor[] expected = new Tensor[2];
            for (int i = 0; i < 2; i++) {
                expected[i] = Tensor.allocate(arena, DType.F32, m, layers[i].outFeatures());
                layers[i].forward(x, expected[i]);
            }
            IntStream.range(0, 64).parallel().forEach(i -> {
                Tensor y = Tensor.allocate(arena, DType.F32, m, layers[i % 2].outFeatures());
                layers[i % 2].forward(x, y);
                assertEquals(-1, y.data().mismatch(expected[i % 2].data()), "caller " + i + ", streams of their own");
            });
            stream.upload(dx.address(), x.data(), dx.bytes());
            DeviceTensor xs = new DeviceTensor(DType.BF16, x.shape(), dx.address());
            IntStream.range(0, 64).parallel().forEach(i -> layers[i % 2].forward(stream, xs,
                    new DeviceTensor(DType.F32, expected[i % 2].shape(), dy.address() + dy.bytes() / 64 * i)));
            for (int i = 0; i < 64; i++) {
                MemorySegment got = arena.allocate(expected[i % 2].data().byteSize());
                stream.download(got, dy.address() + dy.bytes() / 64 * i, got.byteSize());
                stream.synchronize();
                assertEquals(-1, got.mismatch(expected[i % 2].data()), "caller " + i + ", one stream");
            }
        }
    }
}
