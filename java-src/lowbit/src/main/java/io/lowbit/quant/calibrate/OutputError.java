package io.lowbit.quant.calibrate;

/**
 * What changed weights do to a layer's output: δ·H·δᵀ for the rows δ of a tile, over a range of columns. Half of it times the
 * number of calibration rows is the squared error of the outputs.
 */
final class OutputError {
    private final float[][] upper;

    /** Copies H's upper triangle as f32: its rounding is far below what the comparison of two roundings needs. */
    OutputError(Hessian hessian) {
        int k = hessian.features();
        upper = new float[k][];
        for (int i = 0; i < k; i++) {
            upper[i] = new float[k - i];
            for (int j = i; j < k; j++) {
                upper[i][j - i] = (float) hessian.get(i, j);
            }
        }
    }

    /**
     * Adds δ·H·δᵀ over columns {@code from..to} to {@code out}, one sum a lane.
     *
     * @param delta {@code [column][lane]}
     * @param scratch one row of lanes
     */
    void add(float[][] delta, int from, int to, float[] scratch, double[] out) {
        for (int j = from; j < to; j++) {
            float[] h = upper[j];
            float[] own = delta[j];
            for (int r = 0; r < scratch.length; r++) {
                scratch[r] = 0.5f * h[0] * own[r];
            }
            int i = j + 1;
            for (; i + 4 <= to; i += 4) {
                add4(scratch, h[i - j], delta[i], h[i + 1 - j], delta[i + 1], h[i + 2 - j], delta[i + 2], h[i + 3 - j], delta[i + 3]);
            }
            for (; i < to; i++) {
                float f = h[i - j];
                float[] d = delta[i];
                for (int r = 0; r < scratch.length; r++) {
                    scratch[r] += f * d[r];
                }
            }
            for (int r = 0; r < scratch.length; r++) {
                out[r] += 2.0 * scratch[r] * own[r];
            }
        }
    }

    private static void add4(float[] t, float f0, float[] d0, float f1, float[] d1, float f2, float[] d2, float f3, float[] d3) {
        for (int r = 0; r < t.length; r++) {
            t[r] += f0 * d0[r] + f1 * d1[r] + f2 * d2[r] + f3 * d3[r];
        }
    }
}
