package io.lowbit.llm;

import java.util.Arrays;

/** {@link Matmul} in plain Java: the definition. */
final class ScalarMatmul implements Matmul {
    @Override
    public void multiply(float[] a, int aStride, int m, int k, float[] b, int bAt, int bStride, int n, float[] c, int cStride) {
        for (int r = 0; r < m; r++) {
            int out = r * cStride;
            Arrays.fill(c, out, out + n, 0f);
            for (int i = 0; i < k; i++) {
                float w = a[r * aStride + i];
                int row = bAt + i * bStride;
                for (int j = 0; j < n; j++) {
                    c[out + j] = Math.fma(w, b[row + j], c[out + j]);
                }
            }
        }
    }
}
