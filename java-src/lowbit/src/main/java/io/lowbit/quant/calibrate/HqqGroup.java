package io.lowbit.quant.calibrate;

import io.lowbit.quant.Int4Grid;
import io.lowbit.quant.Scheme;

/** One worker's search over the grids of a group. */
final class HqqGroup {
    private final Scheme.Int4 scheme;
    private final HqqOptions options;
    private final float[] target;
    private final float[] codes;

    HqqGroup(Scheme.Int4 scheme, HqqOptions options, int size) {
        this.scheme = scheme;
        this.options = options;
        this.target = new float[size];
        this.codes = new float[size];
    }

    /**
     * The best grid found for {@code w[first..first+count]}.
     *
     * @throws ArithmeticException where weights are not finite or the scale overflows its type
     */
    Int4Grid best(float[] w, int first, int count) {
        float low = 0;
        float high = 0;
        for (int i = first; i < first + count; i++) {
            if (!Float.isFinite(w[i])) {
                throw new ArithmeticException("a weight is " + w[i]);
            }
            low = Math.min(low, w[i]);
            high = Math.max(high, w[i]);
        }
        Int4Grid grid = Int4Grid.of(low, high, 1.0, scheme);
        if (low == 0 && high == 0) {
            return grid;
        }
        Int4Grid best = grid;
        double least = error(w, first, count, grid);
        double beta = options.beta();
        for (int round = 0; round < options.rounds(); round++, beta *= options.kappa()) {
            shrink(w, first, count, grid, beta);
            grid = refit(count, grid);
            double error = error(w, first, count, grid);
            if (!(error < least)) {
                break;
            }
            least = error;
            best = grid;
        }
        return best;
    }

    static float code(float w, float scale, int zero) {
        return Math.clamp((float) Math.rint(w / scale) + zero, 0f, 15f);
    }

    private static double error(float[] w, int first, int count, Int4Grid grid) {
        double sum = 0;
        for (int i = first; i < first + count; i++) {
            sum += Math.abs(w[i] - (code(w[i], grid.scale(), grid.zero()) - grid.zero()) * grid.scale());
        }
        return sum;
    }

    /** codes = round(w); target = w − shrink(w − ŵ). The threshold is in units of the scale, so that scaled weights give scaled grids. */
    private void shrink(float[] w, int first, int count, Int4Grid grid, double beta) {
        float scale = grid.scale();
        for (int i = 0; i < count; i++) {
            float v = w[first + i];
            float code = code(v, scale, grid.zero());
            codes[i] = code;
            double d = v / (double) scale - (code - grid.zero());
            double size = Math.abs(d);
            double kept = size == 0 ? 0 : Math.max(0, size - StrictMath.pow(size, options.norm() - 1) / beta);
            target[i] = (float) (v - Math.copySign(kept, d) * scale);
        }
    }

    /** The grid that fits the targets best for the codes as they are: least squares, the zero point rounded, then the scale again. */
    private Int4Grid refit(int count, Int4Grid grid) {
        int zero = grid.zero();
        if (!scheme.symmetric()) {
            double q = 0;
            double t = 0;
            double qq = 0;
            double qt = 0;
            for (int i = 0; i < count; i++) {
                q += codes[i];
                t += target[i];
                qq += (double) codes[i] * codes[i];
                qt += (double) codes[i] * target[i];
            }
            double slope = (count * qt - q * t) / (count * qq - q * q);
            if (slope > 0 && slope < Double.POSITIVE_INFINITY) {
                zero = (int) Math.clamp(Math.rint(-(t - slope * q) / count / slope), 0.0, 15.0);
            }
        }
        double top = 0;
        double bottom = 0;
        for (int i = 0; i < count; i++) {
            double q = codes[i] - zero;
            top += q * target[i];
            bottom += q * q;
        }
        double scale = top / bottom;
        return scale > 0 && scale < Double.POSITIVE_INFINITY ? Int4Grid.rounded((float) scale, zero, scheme) : grid;
    }
}
