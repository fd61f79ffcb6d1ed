package io.lowbit.quant.calibrate;

import io.lowbit.quant.Parallel;
import io.lowbit.tensor.Tensor;

/**
 * What a layer's inputs say about its weights: H = (2/n) Σ x xᵀ over n calibration rows, and the mean of |x|, both in f64.
 * ‖(W − Ŵ)·X‖² is n/2 · tr((W − Ŵ) H (W − Ŵ)ᵀ), which is what GPTQ (2210.17323) makes small.
 *
 * <p>Every element is summed over the rows in the order they were added: the same bits for any number of threads and any
 * split into {@link #add} calls of a multiple of {@value #STEP} rows. Not for several threads at once.
 */
public final class Hessian {
    /** Rows that are multiplied together; a shorter rest is summed one by one. */
    static final int STEP = 4;

    private final int k;
    private final double[][] sums;
    private final double[] magnitudes;
    private long rows;

    /** An empty sum for inputs of {@code k} features. */
    public Hessian(int k) {
        if (k < 1) {
            throw new IllegalArgumentException("a Hessian of " + k + " features: expected at least 1");
        }
        this.k = k;
        this.sums = new double[k][];
        for (int i = 0; i < k; i++) {
            // the upper triangle: row i holds columns i..k
            sums[i] = new double[k - i];
        }
        this.magnitudes = new double[k];
    }

    /** K: features of an input row. */
    public int features() {
        return k;
    }

    /** Calibration rows added so far. */
    public long rows() {
        return rows;
    }

    /**
     * Adds the rows of {@code x}.
     *
     * @param x {@code [M, K]}, F32, F16 or BF16
     * @throws IllegalArgumentException for another shape, or where a value is NaN or infinite
     */
    public void add(Tensor x, int threads) {
        if (x.shape().rank() != 2 || x.dim(1) != k) {
            throw new IllegalArgumentException("expected calibration inputs [M, " + k + "], got " + x.shape());
        }
        int m = Math.toIntExact(x.dim(0));
        double[][] values = new double[m][k];
        float[] row = new float[k];
        for (int r = 0; r < m; r++) {
            x.readFloats((long) r * k, row, 0, k);
            for (int i = 0; i < k; i++) {
                if (!Float.isFinite(row[i])) {
                    throw new IllegalArgumentException("calibration input " + (rows + r) + " holds " + row[i] + " at feature " + i
                            + "; the model or the layers in front of it overflow: calibrate with other text or leave those layers out");
                }
                values[r][i] = row[i];
                magnitudes[i] += Math.abs(row[i]);
            }
        }
        Parallel.run(k, (long) m * (k / 2 + 1), 1, threads, (from, to) -> {
            for (int i = (int) from; i < to; i++) {
                addRow(values, m, i, sums[i]);
            }
        });
        rows += m;
    }

    private static void addRow(double[][] x, int m, int i, double[] sum) {
        int r = 0;
        for (; r + STEP <= m; r += STEP) {
            four(x[r], x[r + 1], x[r + 2], x[r + 3], i, sum);
        }
        for (; r < m; r++) {
            one(x[r], i, sum);
        }
    }

    private static void four(double[] a, double[] b, double[] c, double[] d, int i, double[] sum) {
        double ai = a[i];
        double bi = b[i];
        double ci = c[i];
        double di = d[i];
        for (int j = 0; j < sum.length; j++) {
            sum[j] += ai * a[i + j] + bi * b[i + j] + ci * c[i + j] + di * d[i + j];
        }
    }

    private static void one(double[] a, int i, double[] sum) {
        double ai = a[i];
        for (int j = 0; j < sum.length; j++) {
            sum[j] += ai * a[i + j];
        }
    }

    /** H[i, j]; 0 while no row was added. */
    public double get(int i, int j) {
        return rows == 0 ? 0 : 2 * sums[Math.min(i, j)][Math.abs(i - j)] / rows;
    }

    /** Mean |x| of every feature; zeros while no row was added. */
    public double[] meanMagnitudes() {
        double[] mean = new double[k];
        for (int i = 0; i < k; i++) {
            mean[i] = rows == 0 ? 0 : magnitudes[i] / rows;
        }
        return mean;
    }

    /** The whole matrix, rows and columns in {@code order}. */
    double[][] ordered(int[] order) {
        double[][] h = new double[k][k];
        for (int i = 0; i < k; i++) {
            for (int j = i; j < k; j++) {
                h[i][j] = get(order[i], order[j]);
                h[j][i] = h[i][j];
            }
        }
        return h;
    }

    /** The diagonal: 2·mean x². */
    double[] diagonal() {
        double[] d = new double[k];
        for (int i = 0; i < k; i++) {
            d[i] = get(i, i);
        }
        return d;
    }
}
