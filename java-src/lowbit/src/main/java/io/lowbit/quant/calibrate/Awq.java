package io.lowbit.quant.calibrate;

import io.lowbit.quant.Parallel;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;

/**
 * AWQ (2306.00978, as AutoAWQ does it): input features with large activations keep more of their weights' precision, by
 * multiplying their columns before rounding and dividing the input. With x̄ the mean |x| of a feature and w̄ the mean of
 * |w| / (its group's max |w|), for r = k / steps: s = x̄^r / (w̄^(1−r) + 1e-4) with duo scaling, x̄^r without; s is
 * normalized by √(max s · min s). The r of least output error wins; ones where none beats plain rounding.
 *
 * <p>Unlike AutoAWQ, the output error is taken from the second moments of all calibration rows, not from a sample of them:
 * ‖(Q(W·s)/s − W)·x‖² summed over x is δ·H·δᵀ.
 */
public final class Awq {
    private static final float[] UNUSED = {};

    private Awq() {}

    /**
     * Finds the scales of one input.
     *
     * @param weights matrices {@code [N, K]} that multiply the same input, such as q, k and v
     * @param hessian of that input; at least one row
     * @throws IllegalArgumentException where shapes disagree or there are no calibration rows
     */
    public static AwqScales search(List<Tensor> weights, Scheme.Int4 scheme, Hessian hessian, AwqOptions options) {
        int k = hessian.features();
        long rows = 0;
        for (Tensor w : weights) {
            if (w.shape().rank() != 2 || w.dim(1) != k) {
                throw new IllegalArgumentException("expected weights [N, " + k + "] for inputs of " + k + " features, got " + w.shape());
            }
            rows += w.dim(0);
        }
        if (hessian.rows() == 0) {
            throw new IllegalArgumentException("AWQ needs calibration inputs; this layer saw none: round it to nearest");
        }
        OutputError error = new OutputError(hessian);
        int groupSize = groupSize(scheme, k);
        double[] xMean = hessian.meanMagnitudes();
        double[] wMean = weightMeans(weights, k, groupSize);
        Sample sample = new Sample(weights, rows, options.searchRows());
        float[] ones = new float[k];
        Arrays.fill(ones, 1f);
        double signal = total(sample, scheme, options.threads(), (tile, out) -> tile.signal(error, out));
        double rounding = total(sample, scheme, options.threads(), (tile, out) -> tile.error(error, ones, groupSize, out));
        float[] best = ones;
        double least = rounding;
        double ratio = 0;
        for (int step = 0; step < options.steps(); step++) {
            double r = (double) step / options.steps();
            float[] s = candidate(xMean, wMean, r, options.duo());
            double loss = total(sample, scheme, options.threads(), (tile, out) -> tile.error(error, s, groupSize, out));
            if (loss < least) {
                least = loss;
                best = s;
                ratio = r;
            }
        }
        return new AwqScales(best, ratio, least / signal, rounding / signal);
    }

    /**
     * Rounds W·s on AutoAWQ's grid, with {@link AwqOptions#clip} after a search for each group's clipping range.
     *
     * @param scales {@code [K]}; the result is to be multiplied with inputs divided by them
     * @param hessian of the input before the division; unused without clipping
     */
    public static QuantizedMatrix quantize(Tensor weights, float[] scales, Scheme.Int4 scheme, Hessian hessian, AwqOptions options, Arena arena) {
        int k = scales.length;
        if (weights.shape().rank() != 2 || weights.dim(1) != k) {
            throw new IllegalArgumentException("expected weights [N, " + k + "] for " + k + " scales, got " + weights.shape());
        }
        OutputError error = options.clip() ? new OutputError(hessian) : null;
        Int4Codes out = new Int4Codes(weights.dim(0), k, scheme, arena);
        int groupSize = out.groupSize();
        int groups = Math.ceilDiv(k, groupSize);
        long tiles = Math.ceilDiv(weights.dim(0), AwqTile.LANES);
        Parallel.run(tiles, (long) AwqTile.LANES * k * 64, 1, Parallel.threadsFor(options.threads(), weights.data(), out.codes().data()), (from, to) -> {
            AwqTile tile = new AwqTile(k, scheme);
            float[] row = new float[k];
            float[] codes = new float[AwqTile.LANES];
            for (long t = from; t < to; t++) {
                long first = t * AwqTile.LANES;
                int count = (int) Math.min(AwqTile.LANES, weights.dim(0) - first);
                for (int lane = 0; lane < AwqTile.LANES; lane++) {
                    load(tile, lane, lane < count ? weights : null, first + lane, row);
                }
                for (int g = 0; g < groups; g++) {
                    int last = Math.min(k, (g + 1) * groupSize);
                    tile.choose(error, scales, g * groupSize, last);
                    for (int c = g * groupSize; c < last; c++) {
                        tile.codes(scales, c, codes);
                        out.column(first, count, c, codes);
                    }
                    out.grid(first, count, g, tile.scale, tile.zero);
                }
            }
        });
        return out.matrix(null);
    }

    private static int groupSize(Scheme.Int4 scheme, int k) {
        return scheme.grouping() instanceof io.lowbit.quant.Grouping.PerGroup g ? Math.min(g.size(), k) : k;
    }

    private static double[] weightMeans(List<Tensor> weights, int k, int groupSize) {
        double[] sums = new double[k];
        long rows = 0;
        float[] row = new float[k];
        for (Tensor w : weights) {
            for (long r = 0; r < w.dim(0); r++) {
                w.readFloats(r * k, row, 0, k);
                for (int from = 0; from < k; from += groupSize) {
                    int to = Math.min(k, from + groupSize);
                    float max = 0;
                    for (int c = from; c < to; c++) {
                        max = Math.max(max, Math.abs(row[c]));
                    }
                    for (int c = from; c < to; c++) {
                        sums[c] += Math.abs(row[c]) / (max + 1e-6);
                    }
                }
            }
            rows += w.dim(0);
        }
        for (int c = 0; c < k; c++) {
            sums[c] /= rows;
        }
        return sums;
    }

    private static float[] candidate(double[] xMean, double[] wMean, double r, boolean duo) {
        int k = xMean.length;
        double[] s = new double[k];
        double max = 0;
        double min = Double.POSITIVE_INFINITY;
        for (int i = 0; i < k; i++) {
            double x = StrictMath.pow(xMean[i], r);
            s[i] = Math.max(1e-4, duo ? x / (StrictMath.pow(wMean[i], 1 - r) + 1e-4) : x);
            max = Math.max(max, s[i]);
            min = Math.min(min, s[i]);
        }
        double middle = Math.sqrt(max * min);
        float[] scales = new float[k];
        for (int i = 0; i < k; i++) {
            float scale = (float) (s[i] / middle);
            scales[i] = Float.isFinite(scale) && scale > 0 ? scale : 1f;
        }
        return scales;
    }

    private interface TileSum {
        void add(AwqTile tile, double[] perLane);
    }

    /** Rows of several matrices, spread evenly. */
    private record Sample(Tensor[] matrix, long[] row, int k) {
        Sample(List<Tensor> weights, long rows, int most) {
            this(new Tensor[(int) Math.min(rows, most)], new long[(int) Math.min(rows, most)], (int) weights.getFirst().dim(1));
            for (int i = 0; i < row.length; i++) {
                long at = rows * i / row.length;
                int m = 0;
                while (at >= weights.get(m).dim(0)) {
                    at -= weights.get(m++).dim(0);
                }
                matrix[i] = weights.get(m);
                row[i] = at;
            }
        }
    }

    /** The sum over the sampled rows, in their order. */
    private static double total(Sample sample, Scheme.Int4 scheme, int threads, TileSum sum) {
        int k = sample.k;
        int count = sample.row.length;
        double[] perRow = new double[Math.ceilDiv(count, AwqTile.LANES) * AwqTile.LANES];
        int usable = Parallel.threadsFor(threads, sample.matrix[0].data());
        Parallel.run(perRow.length / AwqTile.LANES, (long) AwqTile.LANES * k * 64, 1, usable, (from, to) -> {
            AwqTile tile = new AwqTile(k, scheme);
            float[] row = new float[k];
            double[] lanes = new double[AwqTile.LANES];
            for (long t = from; t < to; t++) {
                for (int lane = 0; lane < AwqTile.LANES; lane++) {
                    int i = (int) t * AwqTile.LANES + lane;
                    load(tile, lane, i < count ? sample.matrix[i] : null, i < count ? sample.row[i] : 0, row);
                }
                Arrays.fill(lanes, 0);
                sum.add(tile, lanes);
                System.arraycopy(lanes, 0, perRow, (int) t * AwqTile.LANES, AwqTile.LANES);
            }
        });
        double total = 0;
        for (double d : perRow) {
            total += d;
        }
        return total;
    }

    private static void load(AwqTile tile, int lane, Tensor from, long row, float[] scratch) {
        float[] values = from == null ? UNUSED : scratch;
        if (from != null) {
            from.readFloats(row * scratch.length, scratch, 0, scratch.length);
        }
        for (int c = 0; c < tile.w.length; c++) {
            tile.w[c][lane] = c < values.length ? values[c] : 0;
        }
    }
}
