package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** 4-bit kernels whose blocks stay for tile after tile: more tiles than any GPU has multiprocessors, several rounds of them. */
@Tag("gpu")
class W4RoundsGpuTest {
    private static final long N = 17_000;
    private static final long K = 136;
    private static final int M = 700;
    private static final long SEED = 41;

    static List<String> kernels() {
        return Catalogue.kernels(Architecture.SM90).stream().map(ProductKernel::name).filter(name -> name.startsWith("w4-gemm")).toList();
    }

    @ParameterizedTest(name = "{0}, seed 41")
    @MethodSource("kernels")
    void everyTileIsMade(String name) {
        Gpu.require();
        Assumptions.assumeTrue(Gpu.architectures().anyMatch(Architecture.SM90::equals), "needs sm_90a");
        ProductKernel kernel = Catalogue.kernel(name);
        Scheme scheme = new Scheme.Int4(Grouping.group(128), true, DType.BF16);
        try (Arena arena = Arena.ofShared(); CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.always(name))) {
            QuantizedMatrix w = Schemes.quantized(arena, scheme, N, K, SEED);
            Tensor x = Schemes.normal(arena, DType.BF16, SEED, 1, M, K);
            Tensor y = Tensor.allocate(arena, DType.F32, M, N);
            Tensor again = Tensor.allocate(arena, DType.F32, M, N);
            try (CudaLinear layer = backend.load(w)) {
                assertSame(kernel, layer.kernel(M, DType.BF16, DType.F32));
                layer.forward(x, y);
                layer.forward(x, again);
            }
            assertEquals(-1, y.data().mismatch(again.data()), "two runs differ");
            double[][] weights = Products.weights(w);
            // Rows on both sides of the tiles' edges, and the last.
            for (int row : new int[] {0, 127, 128, 231, 232, 255, 256, 511, 512, M - 1}) {
                Products.check(name + " row " + row, weights, Products.rows(x.rows(row, row + 1)), null, y.rows(row, row + 1),
                        kernel.operandRounding(scheme, DType.BF16));
            }
        }
    }
}
