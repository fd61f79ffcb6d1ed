package io.lowbit.cuda;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.ProductKernel;
import java.util.List;
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
        // Rows on both sides of the tiles' edges, and the last.
        RepeatedProduct.check(name, M, N, K, 2, SEED, 0, 127, 128, 231, 232, 255, 256, 511, 512, M - 1);
    }
}
