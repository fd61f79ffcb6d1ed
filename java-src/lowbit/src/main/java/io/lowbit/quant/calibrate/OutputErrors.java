package io.lowbit.quant.calibrate;

import io.lowbit.quant.Parallel;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.Tensor;

/** How far quantized weights move a layer's output on its calibration inputs. */
public final class OutputErrors {
    private static final int LANES = 64;

    private OutputErrors() {}

    /**
     * ‖(Ŵ − W)·X‖² / ‖W·X‖² over all calibration rows, from their second moments.
     *
     * @param weights {@code [N, K]}, F32, F16 or BF16
     * @param hessian of the layer's inputs; 0 where it has no rows
     */
    public static double relativeSquared(Tensor weights, QuantizedMatrix matrix, Hessian hessian, int threads) {
        if (hessian.rows() == 0) {
            return 0;
        }
        int k = hessian.features();
        OutputError error = new OutputError(hessian);
        long n = weights.dim(0);
        int tiles = Math.toIntExact(Math.ceilDiv(n, LANES));
        double[] noise = new double[tiles];
        double[] signal = new double[tiles];
        int usable = Parallel.threadsFor(threads, weights.data(), matrix.codes().data());
        Parallel.run(tiles, (long) LANES * k * 64, 1, usable, (from, to) -> {
            float[][] w = new float[k][LANES];
            float[][] delta = new float[k][LANES];
            float[] row = new float[k];
            float[] scratch = new float[LANES];
            for (long t = from; t < to; t++) {
                for (int lane = 0; lane < LANES; lane++) {
                    long r = t * LANES + lane;
                    if (r < n) {
                        weights.readFloats(r * k, row, 0, k);
                    }
                    for (int c = 0; c < k; c++) {
                        w[c][lane] = r < n ? row[c] : 0;
                        delta[c][lane] = r < n ? matrix.value(r, c) - row[c] : 0;
                    }
                }
                double[] sums = new double[LANES];
                error.add(delta, 0, k, scratch, sums);
                noise[(int) t] = sum(sums);
                sums = new double[LANES];
                error.add(w, 0, k, scratch, sums);
                signal[(int) t] = sum(sums);
            }
        });
        double all = sum(signal);
        return all == 0 ? 0 : sum(noise) / all;
    }

    private static double sum(double[] values) {
        double sum = 0;
        for (double v : values) {
            sum += v;
        }
        return sum;
    }
}
