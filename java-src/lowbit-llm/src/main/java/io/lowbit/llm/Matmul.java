package io.lowbit.llm;

import io.lowbit.simd.Simd;

/**
 * Products of two small activation matrices on the heap, as attention needs them: scores = Q·Kᵀ and P·V.
 * {@link io.lowbit.backend.Linear} is for weights; these operands change with every token.
 *
 * <p>Columns come in whole tiles of {@link #TILE}, so callers pad their rows and no kernel has a ragged end. Sums run
 * over i in ascending order with fused multiply-adds: the scalar code and its vector twin give the same bits.
 */
interface Matmul {
    /** Floats; a multiple of the tile of every vector width. */
    int TILE = 64;

    /**
     * c[r·cStride + j] = Σ_{i in [0, k)} a[r·aStride + i] · b[bAt + i·bStride + j] for r in [0, m), j in [0, n).
     *
     * @param n a multiple of {@link #TILE}
     */
    void multiply(float[] a, int aStride, int m, int k, float[] b, int bAt, int bStride, int n, float[] c, int cStride);

    /** The twin that {@link Simd} chose. */
    static Matmul best() {
        return Simd.vectorized() ? new VectorMatmul() : new ScalarMatmul();
    }

    /** {@code n} rounded up to whole tiles. */
    static int padded(int n) {
        return Math.ceilDiv(n, TILE) * TILE;
    }
}
