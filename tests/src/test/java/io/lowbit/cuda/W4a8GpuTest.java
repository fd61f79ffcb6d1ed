package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** INT4 weights with activations quantized on the card to E4M3, INT8 or INT4, against the same quantization by the CPU's definition. */
@Tag("gpu")
class W4a8GpuTest {
    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};
    private static final List<Scheme.Int4> SCHEMES = List.of(
            new Scheme.Int4(Grouping.group(128), true, DType.F16), new Scheme.Int4(Grouping.group(128), false, DType.BF16),
            new Scheme.Int4(Grouping.group(256), true, DType.BF16), new Scheme.Int4(Grouping.CHANNEL, true),
            new Scheme.Int4(Grouping.TENSOR, false), new Scheme.Int4(Grouping.group(64), true, DType.BF16),
            new Scheme.Int4(Grouping.group(64), false, DType.F16), new Scheme.Int4(Grouping.group(32), true, DType.F16),
            new Scheme.Int4(Grouping.group(32), false, DType.BF16));
    /** {@code [N, K]}: what no tile divides, K beyond every ring of stages, rows that the copy engine cannot store. */
    private static final long[][] SHAPES = {{131, 272}, {264, 400}, {72, 2176}};

    @BeforeAll
    static void needsGpu() {
        Gpu.require();
    }

    /** Those whose PTX this card takes; Hopper takes Ada's too. */
    static Stream<Architecture> architectures() {
        return Gpu.architectures();
    }

    /** Every kernel that takes such weights. */
    private static List<ProductKernel> kernels(Architecture architecture) {
        return Catalogue.kernels(architecture).stream()
                .filter(k -> SCHEMES.stream().anyMatch(s -> Arrays.stream(ActivationScaling.values())
                        .anyMatch(a -> k.supports(MatrixShape.plain(s, 4096, 4096), DType.BF16, DType.BF16, a)))).toList();
    }

    /** A table that gives each kernel two M of its own, so that one layer serves them all. */
    private static KernelChoice choice(List<ProductKernel> kernels) {
        StringBuilder table = new StringBuilder();
        for (int i = 0; i < kernels.size(); i++) {
            for (int m : rows(i)) {
                table.append("* int4_* e4m3-*|int8-*|int4-* ").append(m).append(" * * ").append(kernels.get(i).name()).append('\n');
            }
        }
        return KernelChoice.byTable(table.toString());
    }

    @ParameterizedTest
    @MethodSource("architectures")
    void everyKernelKeepsItsBound(Architecture architecture) {
        List<ProductKernel> kernels = kernels(architecture);
        List<String> wrong = new ArrayList<>();
        int[] cases = new int[kernels.size()];
        int most = rows(kernels.size() - 1)[1];
        int turn = 0;
        try (CudaBackend backend = Gpu.open(architecture, choice(kernels))) {
            for (Scheme.Int4 scheme : SCHEMES) {
                for (long[] shape : SHAPES) {
                    try (Arena arena = Arena.ofShared()) {
                        QuantizedMatrix w = Schemes.quantized(arena, scheme, shape[0], shape[1], 41);
                        double[][] weights = Products.weights(w);
                        Tensor bias = turn % 2 == 0 ? null : Schemes.normal(arena, TYPES[turn % 3], 43, 1, shape[0]);
                        try (CudaLinear layer = backend.load(w, bias)) {
                            for (ActivationScaling scaling : ActivationScaling.values()) {
                                DType xType = TYPES[turn % 3];
                                DType yType = TYPES[turn / 2 % 3];
                                turn++;
                                if (kernels.stream().noneMatch(k -> k.supports(MatrixShape.of(w), xType, yType, scaling))) {
                                    continue;
                                }
                                Tensor all = Schemes.normal(arena, xType, 42 + turn, 3, most, shape[1]);
                                all.setFloat(0, 20);  // the first row has the largest, so that the scale of all is that of any first rows
                                double[][] x = W8a8GpuTest.quantized(all, scaling);
                                for (int i = 0; i < kernels.size(); i++) {
                                    if (kernels.get(i).supports(MatrixShape.of(w), xType, yType, scaling)) {
                                        try {
                                            product(arena, layer, kernels.get(i), rows(i)[cases[i]++ % 2], all, yType, scaling, weights, x, bias, scheme);
                                        } catch (AssertionError e) {
                                            wrong.add(e.getMessage());
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        assertEquals(List.of(), wrong.stream().limit(20).toList(), wrong.size() + " wrong");
        for (int i = 0; i < kernels.size(); i++) {
            assertTrue(cases[i] >= 6, kernels.get(i).name() + ": " + cases[i] + " cases");
        }
    }

    /**
     * Many turns through every ring while all multiprocessors read as fast as they can, so that copies come late: a stage that is
     * read before its copy has come shows as another sum, another run's bits, or a product that never ends.
     */
    @ParameterizedTest
    @MethodSource("architectures")
    void longRowsOfLargeMatrices(Architecture architecture) {
        long n = 2048;
        long k = 11008;
        int checked = 64;
        List<ProductKernel> kernels = kernels(architecture);
        List<String> wrong = new ArrayList<>();
        try (CudaBackend backend = Gpu.open(architecture, choice(kernels))) {
            for (Scheme.Int4 scheme : List.of(new Scheme.Int4(Grouping.group(128), true, DType.BF16),
                    new Scheme.Int4(Grouping.group(64), true, DType.F16), new Scheme.Int4(Grouping.group(32), false, DType.BF16))) {
                try (Arena arena = Arena.ofShared()) {
                    QuantizedMatrix w = Schemes.quantized(arena, scheme, n, k, 51);
                    double[][] weights = new double[checked][(int) k];
                    for (int i = 0; i < checked; i++) {
                        for (int col = 0; col < k; col++) {
                            weights[i][col] = w.value(i * (n / checked) + i % (n / checked), col);
                        }
                    }
                    Tensor all = Schemes.normal(arena, DType.BF16, 52, 3, rows(kernels.size())[0], k);
                    all.setFloat(0, 20);
                    try (CudaLinear layer = backend.load(w, null)) {
                        for (ActivationScaling scaling : List.of(ActivationScaling.ROW, ActivationScaling.ROW_INT8, ActivationScaling.ROW_INT4)) {
                            double[][] x = W8a8GpuTest.quantized(all, scaling);
                            for (int i = 0; i < kernels.size(); i++) {
                                ProductKernel kernel = kernels.get(i);
                                if (!kernel.supports(MatrixShape.of(w), DType.BF16, DType.F32, scaling)) {
                                    continue;
                                }
                                try {
                                    longRows(arena, layer, kernel, all.rows(0, rows(i)[0]), scaling, weights, x, scheme);
                                } catch (AssertionError e) {
                                    wrong.add(e.getMessage());
                                }
                            }
                        }
                    }
                }
            }
        }
        assertEquals(List.of(), wrong.stream().limit(20).toList(), wrong.size() + " wrong");
    }

    /** @param weights of {@code weights.length} rows, one of each part of so many */
    private static void longRows(Arena arena, CudaLinear layer, ProductKernel kernel, Tensor rows, ActivationScaling scaling, double[][] weights,
            double[][] x, Scheme scheme) {
        int m = (int) rows.dim(0);
        long n = layer.outFeatures();
        int checked = weights.length;
        String what = kernel.name() + " " + scheme.label() + " K=" + rows.dim(1) + " M=" + m + " " + scaling.label();
        Tensor y = Tensor.allocate(arena, DType.F32, m, n);
        y.data().fill((byte) 0xff);
        layer.forwardQuantized(rows, y, scaling, kernel.accumulation());
        Tensor some = Tensor.allocate(arena, DType.F32, m, checked);
        for (int at = 0; at < m * checked; at++) {
            some.setFloat(at, y.getFloat(at / checked * n + at % checked * (n / checked) + at % checked % (n / checked)));
        }
        Products.check(what, weights, Arrays.copyOf(x, m), null, some, kernel.operandRounding(scheme, DType.BF16));
        for (int run = 0; run < 3; run++) {
            Tensor again = Tensor.allocate(arena, DType.F32, m, n);
            layer.forwardQuantized(rows, again, scaling, kernel.accumulation());
            assertEquals(-1, y.data().mismatch(again.data()), () -> what + ": two runs differ");
        }
    }

    private static void product(Arena arena, CudaLinear layer, ProductKernel kernel, int m, Tensor all, DType yType, ActivationScaling scaling,
            double[][] weights, double[][] x, Tensor bias, Scheme scheme) {
        Tensor first = all.rows(0, m);
        Tensor y = Tensor.allocate(arena, yType, m, weights.length);
        Tensor again = Tensor.allocate(arena, yType, m, weights.length);
        y.data().fill((byte) 0xff);
        String what = kernel.name() + " " + scheme.label() + " N=" + weights.length + " K=" + weights[0].length + " M=" + m + " x " + all.dtype() + " y "
                + yType + " " + scaling.label();
        assertEquals(kernel, layer.kernel(m, all.dtype(), yType, scaling, kernel.accumulation()), what);
        layer.forwardQuantized(first, y, scaling, kernel.accumulation());
        layer.forwardQuantized(first, again, scaling, kernel.accumulation());
        Products.check(what, weights, Arrays.copyOf(x, m), bias, y, kernel.operandRounding(scheme, all.dtype()));
        assertEquals(-1, y.data().mismatch(again.data()), () -> what + ": two runs differ");
    }

    /**
     * Products whose tiles are cut along K into a dozen pieces, into two and three, and in the last round alone: the same bits in hundreds of
     * replays of a graph, over a workspace that holds anything but its counters, which are zero afterwards.
     */
    @ParameterizedTest
    @CsvSource({"520, 4096, 300", "8448, 1024, 256", "12000, 520, 250", "25001, 264, 200"})
    void cutTilesRepeat(int n, int k, int m) {
        Assumptions.assumeTrue(Gpu.architectures().toList().contains(Architecture.SM90), "needs a Hopper GPU");
        List<ProductKernel> kernels = kernels(Architecture.SM90).stream().filter(kernel -> kernel.name().endsWith("_cut")).toList();
        assertTrue(kernels.size() > 4, () -> kernels.toString());
        StringBuilder table = new StringBuilder();
        for (int i = 0; i < kernels.size(); i++) {
            table.append("* int4_* e4m3-*|int8-* ").append(m + i).append(" * * ").append(kernels.get(i).name()).append('\n');
        }
        try (CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.byTable(table.toString())); Arena arena = Arena.ofShared()) {
            Tensor x = Schemes.normal(arena, DType.BF16, 62, 1, m + kernels.size(), k);
            for (int group = 32; group <= 128; group *= 2) {
                QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Int4(Grouping.group(group), true, DType.BF16), n, k, 61);
                try (CudaLinear layer = backend.load(w, null)) {
                    for (int i = 0; i < kernels.size(); i++) {
                        for (ActivationScaling scaling : List.of(ActivationScaling.ROW, ActivationScaling.ROW_INT8)) {
                            if (kernels.get(i).supports(MatrixShape.of(w), DType.BF16, DType.BF16, scaling)) {
                                Tensor y = Tensor.allocate(arena, DType.BF16, m + i, n);
                                layer.forwardQuantized(x.rows(0, m + i), y, scaling, kernels.get(i).accumulation());
                                replays(backend, layer, x.rows(0, m + i), y, scaling, kernels.get(i), arena);
                            }
                        }
                    }
                }
            }
        }
    }

    private static void replays(CudaBackend backend, CudaLinear layer, Tensor x, Tensor expected, ActivationScaling scaling, ProductKernel kernel, Arena arena) {
        MemorySegment got = arena.allocate(expected.data().byteSize());
        MemorySegment counters = arena.allocate(io.lowbit.cuda.driver.Stream.COUNTER_BYTES);
        try (io.lowbit.cuda.driver.Stream stream = io.lowbit.cuda.driver.Stream.open(backend.context());
                DeviceMemory dx = DeviceMemory.allocate(stream, x.data().byteSize()); DeviceMemory dy = DeviceMemory.allocate(stream, got.byteSize());
                DeviceMemory activations = DeviceMemory.allocate(stream, layer.workspaceBytes(x.dim(0)))) {
            stream.upload(dx.address(), x.data(), dx.bytes());
            stream.fill(stream.workspace() + counters.byteSize(), (byte) 0xff, io.lowbit.cuda.driver.Stream.WORKSPACE_BYTES - counters.byteSize());
            DeviceTensor xs = new DeviceTensor(x.dtype(), x.shape(), dx.address());
            DeviceTensor ys = new DeviceTensor(expected.dtype(), expected.shape(), dy.address());
            try (Graph graph = Graph.capture(stream, () -> layer.forwardQuantized(stream, xs, ys, scaling, kernel.accumulation(), activations))) {
                for (int i = 1; i <= 200; i++) {
                    if (i % 50 == 0) {
                        stream.fill(dy.address(), (byte) 0xff, dy.bytes());
                    }
                    graph.launch(stream);
                    if (i % 50 == 0) {
                        stream.download(got, dy.address(), got.byteSize());
                        stream.synchronize();
                        assertEquals(-1, got.mismatch(expected.data()), kernel.name() + " replay " + i);
                    }
                }
            }
            stream.download(counters, stream.workspace(), counters.byteSize());
            stream.synchronize();
            assertEquals(-1, counters.mismatch(arena.allocate(counters.byteSize())), kernel.name() + ": counters that are not zero");
        }
    }

    /** The M of kernel {@code i}: one that few tiles hold, one that needs several. */
    private static int[] rows(int i) {
        return new int[] {1 + i, 129 + i};
    }

    /** By the table in the jar: what M picks, and what is refused with the way out. */
    @Test
    void whatNoKernelTakesIsRefused() {
        Assumptions.assumeTrue(Gpu.architectures().toList().contains(Architecture.SM90), "needs a Hopper GPU");
        try (CudaBackend backend = CudaBackend.open(0, Architecture.SM90, KernelChoice.byTable()); Arena arena = Arena.ofShared()) {
            Tensor x = Schemes.normal(arena, DType.BF16, 3, 1, 2, 256);
            Tensor y = Tensor.allocate(arena, DType.BF16, 2, 64);
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Int4(Grouping.group(128), true), 64, 256, 1);
            try (CudaLinear layer = backend.load(w, null)) {
                assertEquals(Accumulation.EXACT, layer.kernel(2, DType.BF16, DType.BF16, ActivationScaling.ROW_INT8, Accumulation.EXACT).accumulation());
                assertEquals(Accumulation.EXACT, layer.kernel(2048, DType.BF16, DType.BF16, ActivationScaling.ROW, Accumulation.EXACT).accumulation());
                assertEquals(Accumulation.PRECISE, layer.kernel(2048, DType.BF16, DType.BF16, ActivationScaling.ROW, Accumulation.FAST).accumulation());
                refused(layer, x, y, ActivationScaling.BLOCK128);
                refused(layer, x, y, ActivationScaling.ROW_INT4);
            }
            try (CudaLinear layer = backend.load(Schemes.quantized(arena, new Scheme.Int4(Grouping.group(16), true), 64, 256, 1), null)) {
                refused(layer, x, y, ActivationScaling.ROW);
                refused(layer, x, y, ActivationScaling.ROW_INT8);
            }
        }
    }

    /** INT4 activations take neither zero points nor groups that an instruction's 64 columns cross. */
    @Test
    void whatInt4ActivationsCannotTakeIsRefused() {
        try (CudaBackend backend = CudaBackend.open(0, Architecture.SM89, KernelChoice.byTable()); Arena arena = Arena.ofShared()) {
            Tensor x = Schemes.normal(arena, DType.BF16, 3, 1, 2, 256);
            Tensor y = Tensor.allocate(arena, DType.BF16, 2, 64);
            try (CudaLinear layer = backend.load(Schemes.quantized(arena, new Scheme.Int4(Grouping.group(64), true), 64, 256, 1), null)) {
                assertEquals("w4a4_mma_8", layer.kernel(2, DType.BF16, DType.BF16, ActivationScaling.ROW_INT4, Accumulation.EXACT).name());
                assertEquals("w4a8_mma_s8_32", layer.kernel(64, DType.BF16, DType.BF16, ActivationScaling.ROW_INT8, Accumulation.EXACT).name());
                assertEquals("w4a8_mma_e4m3_128", layer.kernel(65, DType.BF16, DType.BF16, ActivationScaling.TENSOR, Accumulation.PRECISE).name());
            }
            for (Scheme.Int4 scheme : List.of(new Scheme.Int4(Grouping.group(128), false), new Scheme.Int4(Grouping.group(32), true))) {
                try (CudaLinear layer = backend.load(Schemes.quantized(arena, scheme, 64, 256, 1), null)) {
                    refused(layer, x, y, ActivationScaling.ROW_INT4);
                }
            }
        }
    }

    private static void refused(CudaLinear layer, Tensor x, Tensor y, ActivationScaling scaling) {
        String message = assertThrows(IllegalArgumentException.class, () -> layer.forwardQuantized(x, y, scaling, Accumulation.FAST)).getMessage();
        assertTrue(message.startsWith(layer.scheme().label() + ": no kernel here takes " + scaling.label() + " activations: "), message);
    }
}
