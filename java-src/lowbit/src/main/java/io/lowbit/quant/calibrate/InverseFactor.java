package io.lowbit.quant.calibrate;

import io.lowbit.quant.Parallel;

/**
 * The upper triangular U with H⁻¹ = UᵀU that GPTQ walks along, from one Cholesky decomposition and one triangular inverse:
 * with J the matrix that reverses the order, J·H·J = RᵀR gives H = V·Vᵀ for the upper triangular V = J·Rᵀ·J, and
 * U = V⁻¹. H⁻¹ itself is never formed. f64, blocked; the order of every sum is fixed.
 */
final class InverseFactor {
    /** Rows that are eliminated together. */
    private static final int BLOCK = 64;
    /** Columns that stay in the nearest cache while a block of rows passes over them. */
    private static final int STRIP = 512;

    private InverseFactor() {}

    /**
     * U as f32 rows; row i is zero before column i.
     *
     * @param r J·H·J: H with rows and columns in reverse order; overwritten
     * @return null where H is not positive definite
     */
    static float[][] of(double[][] r, int threads) {
        int n = r.length;
        if (!cholesky(r, threads)) {
            return null;
        }
        double[][] y = invertTransposed(r, threads);
        float[][] u = new float[n][n];
        for (int i = 0; i < n; i++) {
            double[] from = y[n - 1 - i];
            for (int j = i; j < n; j++) {
                u[i][j] = (float) from[n - 1 - j];
            }
        }
        return u;
    }

    /** The upper triangle of {@code a} becomes R with A = RᵀR; false where A is not positive definite. */
    private static boolean cholesky(double[][] a, int threads) {
        int n = a.length;
        for (int begin = 0; begin < n; begin += BLOCK) {
            int end = Math.min(n, begin + BLOCK);
            for (int k = begin; k < end; k++) {
                double pivot = a[k][k];
                if (!(pivot > 0) || Double.isInfinite(pivot)) {
                    return false;
                }
                double inverse = 1 / Math.sqrt(pivot);
                for (int j = k; j < n; j++) {
                    a[k][j] *= inverse;
                }
                for (int i = k + 1; i < end; i++) {
                    subtract(a[i], a[k][i], a[k], i, n);
                }
            }
            int from = begin;
            Parallel.run(n - end, (long) (end - begin) * (n - end), 1, threads, (first, last) -> {
                for (int i = end + (int) first; i < end + (int) last; i++) {
                    eliminate(a[i], a, i, from, end, i, n);
                }
            });
        }
        return true;
    }

    /** Y = R⁻ᵀ, lower triangular, by forward substitution in strips of columns. */
    private static double[][] invertTransposed(double[][] r, int threads) {
        int n = r.length;
        double[][] y = new double[n][n];
        for (int i = 0; i < n; i++) {
            y[i][i] = 1;
        }
        int strips = Math.ceilDiv(n, STRIP);
        Parallel.run(strips, Long.MAX_VALUE / 4, 1, threads, (first, last) -> {
            for (int s = (int) first; s < last; s++) {
                strip(r, y, s * STRIP, Math.min(n, (s + 1) * STRIP));
            }
        });
        return y;
    }

    private static void strip(double[][] r, double[][] y, int left, int right) {
        int n = r.length;
        // rows above the strip's own diagonal are zero in it
        for (int begin = left; begin < n; begin += BLOCK) {
            int end = Math.min(n, begin + BLOCK);
            for (int from = left; from < begin; from += BLOCK) {
                int to = Math.min(begin, from + BLOCK);
                for (int i = begin; i < end; i++) {
                    // y[i] −= Σ r[k][i]·y[k]
                    eliminate(y[i], y, r, i, from, to, left, right);
                }
            }
            for (int i = begin; i < end; i++) {
                for (int k = begin; k < i; k++) {
                    subtract(y[i], r[k][i], y[k], left, right);
                }
                double inverse = 1 / r[i][i];
                for (int j = left; j < right; j++) {
                    y[i][j] *= inverse;
                }
            }
        }
    }

    /** target[from..to] −= Σ a[k][i]·a[k][from..to] for k in begin..end. */
    private static void eliminate(double[] target, double[][] a, int i, int begin, int end, int from, int to) {
        eliminate(target, a, a, i, begin, end, from, to);
    }

    private static void eliminate(double[] target, double[][] rows, double[][] factors, int i, int begin, int end, int from, int to) {
        int k = begin;
        for (; k + 4 <= end; k += 4) {
            subtract4(target, factors[k][i], rows[k], factors[k + 1][i], rows[k + 1], factors[k + 2][i], rows[k + 2], factors[k + 3][i], rows[k + 3],
                    from, to);
        }
        for (; k < end; k++) {
            subtract(target, factors[k][i], rows[k], from, to);
        }
    }

    private static void subtract(double[] target, double factor, double[] row, int from, int to) {
        for (int j = from; j < to; j++) {
            target[j] -= factor * row[j];
        }
    }

    private static void subtract4(double[] target, double f0, double[] r0, double f1, double[] r1, double f2, double[] r2, double f3, double[] r3,
            int from, int to) {
        for (int j = from; j < to; j++) {
            target[j] -= f0 * r0[j] + f1 * r1[j] + f2 * r2[j] + f3 * r3[j];
        }
    }
}
