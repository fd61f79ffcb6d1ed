package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * FP8 kernels that cut tiles along K and add the blocks' sums in the stream's workspace: within the bound of double precision, the same
 * bits in every replay, whatever lies in y and in the workspace before, and counters that are zero afterwards.
 */
@Tag("gpu")
class CutTilesGpuTest {
    /** {@code [M, N, K]}: a tile in 2, 3, 5 and 9 parts; three tiles in 4 runs; five in 4, and whole ones besides. */
    private static final long[][] SHAPES = {{200, 264, 400}, {300, 131, 1040}, {129, 136, 4224}, {40, 128, 11_008}, {700, 4100, 2064}, {1300, 5660, 4224}};
    private static final DType[] TYPES = {DType.F32, DType.BF16, DType.F16};
    private static final int REPLAYS = 200;
    private static final long SEED = 51;

    static List<String> kernels() {
        return Catalogue.kernels(Architecture.SM90).stream().map(ProductKernel::name).filter(name -> name.startsWith("fp8_") && name.endsWith("_sk")).toList();
    }

    @ParameterizedTest(name = "{0}, seed 51")
    @MethodSource("kernels")
    void sumsOfSeveralBlocks(String name) {
        Gpu.require();
        Assumptions.assumeTrue(Gpu.architectures().anyMatch(Architecture.SM90::equals), "needs sm_90a");
        ProductKernel kernel = Catalogue.kernel(name);
        Grouping grouping = name.contains("block") ? Grouping.block(128, 128) : Grouping.CHANNEL;
        for (int i = 0; i < SHAPES.length; i++) {
            Scheme scheme = new Scheme.Fp8(i == 1 ? Scheme.Fp8Format.E5M2 : Scheme.Fp8Format.E4M3, grouping);
            DType yType = TYPES[i % TYPES.length];
            ActivationScaling scaling = Arrays.stream(ActivationScaling.values())
                    .filter(s -> !s.tensor() && kernel.supports(MatrixShape.plain(scheme, 4096, 4096), DType.BF16, yType, s)).findFirst().orElse(null);
            if (scaling != null) {
                product(kernel, scheme, scaling, yType, SHAPES[i], i % 2 == 0);
            }
        }
    }

    private static void product(ProductKernel kernel, Scheme scheme, ActivationScaling scaling, DType yType, long[] shape, boolean biased) {
        long m = shape[0];
        long n = shape[1];
        long k = shape[2];
        String what = kernel.name() + " " + scheme.label() + " M=" + m + " N=" + n + " K=" + k;
        try (Arena arena = Arena.ofShared(); CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.always(kernel.name()));
                Stream stream = Stream.open(backend.context())) {
            QuantizedMatrix w = Schemes.quantized(arena, scheme, n, k, SEED);
            Tensor x = Schemes.normal(arena, DType.BF16, SEED + 1, 1, m, k);
            Tensor bias = biased ? Schemes.normal(arena, DType.F32, SEED + 2, 1, n) : null;
            Tensor y = Tensor.allocate(arena, yType, m, n);
            Tensor again = Tensor.allocate(arena, yType, m, n);
            try (CudaLinear layer = bias == null ? backend.load(w) : backend.load(w, bias);
                    DeviceMemory dx = DeviceMemory.allocate(stream, x.data().byteSize());
                    DeviceMemory dy = DeviceMemory.allocate(stream, y.data().byteSize());
                    DeviceMemory activations = DeviceMemory.allocate(stream, layer.workspaceBytes(m))) {
                assertSame(kernel, layer.kernel(m, DType.BF16, yType, scaling, kernel.accumulation()));
                stream.upload(dx.address(), x.data(), dx.bytes());
                layer.activations().quantize(stream, DeviceTensor.of(dx, DType.BF16, m, k), scaling, activations);
                DeviceTensor ys = DeviceTensor.of(dy, yType, m, n);
                layer.multiply(stream, activations, ys, scaling, kernel.accumulation());
                stream.download(y.data(), dy.address(), dy.bytes());
                try (Graph graph = Graph.capture(stream, () -> layer.multiply(stream, activations, ys, scaling, kernel.accumulation()))) {
                    for (int i = 0; i < REPLAYS; i++) {
                        if (i % 50 == 0) {
                            stream.fill(dy.address(), (byte) 0xff, dy.bytes());
                            stream.fill(stream.workspace() + Stream.COUNTER_BYTES, (byte) 0xff, Stream.WORKSPACE_BYTES - Stream.COUNTER_BYTES);
                        }
                        graph.launch(stream);
                        if (i % 50 == 0 || i == REPLAYS - 1) {
                            stream.download(again.data(), dy.address(), dy.bytes());
                            stream.synchronize();
                            assertEquals(-1, y.data().mismatch(again.data()), what + ": replay " + i + " differs");
                        }
                    }
                }
                MemorySegment counters = arena.allocate(Stream.COUNTER_BYTES);
                stream.download(counters, stream.workspace(), Stream.COUNTER_BYTES);
                stream.synchronize();
                assertArrayEquals(new byte[(int) Stream.COUNTER_BYTES], counters.toArray(ValueLayout.JAVA_BYTE), what + ": counters");
            }
            double[][] weights = Products.weights(w);
            double[][] quantized = W8a8GpuTest.quantized(x, scaling);
            // Rows on both sides of the tiles' edges, and the last.
            for (int row : new int[] {0, 63, 64, 127, 128, 255, 256, 511, 512, (int) m - 1}) {
                if (row < m) {
                    Products.check(what + " row " + row, weights, new double[][] {quantized[row]}, bias, y.rows(row, row + 1),
                            kernel.operandRounding(scheme, DType.BF16));
                }
            }
        }
    }
}
