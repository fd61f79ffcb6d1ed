package io.lowbit.llm;

import io.lowbit.simd.Species;
import jdk.incubator.vector.FloatVector;

/** {@link Matmul} on the Vector API: register tiles of 4 rows by 2 vectors, or 1 row by 4. */
final class VectorMatmul implements Matmul {
    private static final int LANES = Species.LANES;

    @Override
    public void multiply(float[] a, int aStride, int m, int k, float[] b, int bAt, int bStride, int n, float[] c, int cStride) {
        int r = 0;
        for (; r + 4 <= m; r += 4) {
            for (int j = 0; j < n; j += 2 * LANES) {
                fourRows(a, r * aStride, aStride, k, b, bAt + j, bStride, c, r * cStride + j, cStride);
            }
        }
        for (; r < m; r++) {
            for (int j = 0; j < n; j += 4 * LANES) {
                oneRow(a, r * aStride, k, b, bAt + j, bStride, c, r * cStride + j);
            }
        }
    }

    private static void fourRows(float[] a, int aAt, int aStride, int k, float[] b, int bAt, int bStride, float[] c, int cAt, int cStride) {
        FloatVector c00 = FloatVector.zero(Species.FLOAT);
        FloatVector c01 = c00;
        FloatVector c10 = c00;
        FloatVector c11 = c00;
        FloatVector c20 = c00;
        FloatVector c21 = c00;
        FloatVector c30 = c00;
        FloatVector c31 = c00;
        for (int i = 0; i < k; i++) {
            FloatVector b0 = FloatVector.fromArray(Species.FLOAT, b, bAt + i * bStride);
            FloatVector b1 = FloatVector.fromArray(Species.FLOAT, b, bAt + i * bStride + LANES);
            FloatVector w = FloatVector.broadcast(Species.FLOAT, a[aAt + i]);
            c00 = w.fma(b0, c00);
            c01 = w.fma(b1, c01);
            w = FloatVector.broadcast(Species.FLOAT, a[aAt + aStride + i]);
            c10 = w.fma(b0, c10);
            c11 = w.fma(b1, c11);
            w = FloatVector.broadcast(Species.FLOAT, a[aAt + 2 * aStride + i]);
            c20 = w.fma(b0, c20);
            c21 = w.fma(b1, c21);
            w = FloatVector.broadcast(Species.FLOAT, a[aAt + 3 * aStride + i]);
            c30 = w.fma(b0, c30);
            c31 = w.fma(b1, c31);
        }
        c00.intoArray(c, cAt);
        c01.intoArray(c, cAt + LANES);
        c10.intoArray(c, cAt + cStride);
        c11.intoArray(c, cAt + cStride + LANES);
        c20.intoArray(c, cAt + 2 * cStride);
        c21.intoArray(c, cAt + 2 * cStride + LANES);
        c30.intoArray(c, cAt + 3 * cStride);
        c31.intoArray(c, cAt + 3 * cStride + LANES);
    }

    private static void oneRow(float[] a, int aAt, int k, float[] b, int bAt, int bStride, float[] c, int cAt) {
        FloatVector c0 = FloatVector.zero(Species.FLOAT);
        FloatVector c1 = c0;
        FloatVector c2 = c0;
        FloatVector c3 = c0;
        for (int i = 0; i < k; i++) {
            FloatVector w = FloatVector.broadcast(Species.FLOAT, a[aAt + i]);
            int row = bAt + i * bStride;
            c0 = w.fma(FloatVector.fromArray(Species.FLOAT, b, row), c0);
            c1 = w.fma(FloatVector.fromArray(Species.FLOAT, b, row + LANES), c1);
            c2 = w.fma(FloatVector.fromArray(Species.FLOAT, b, row + 2 * LANES), c2);
            c3 = w.fma(FloatVector.fromArray(Species.FLOAT, b, row + 3 * LANES), c3);
        }
        c0.intoArray(c, cAt);
        c1.intoArray(c, cAt + LANES);
        c2.intoArray(c, cAt + 2 * LANES);
        c3.intoArray(c, cAt + 3 * LANES);
    }
}
