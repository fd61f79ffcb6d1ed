package io.lowbit.quant.calibrate;

import io.lowbit.quant.Parallel;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * GPTQ (2210.17323): columns are rounded one after another, and what a column lost is made good in the columns that
 * follow, weighed by the inverse of the inputs' second moments. H is damped, H⁻¹ = UᵀU, and for column i:
 * e = (w − ŵ) / U[i, i]; w[j] −= e·U[i, j] for j &gt; i.
 *
 * <p>A group's scale is chosen when the walk reaches the first block of {@value #BLOCK} columns that holds it, from the
 * weights as the blocks before left them. Rows are independent: they go in tiles over the threads, lane = row.
 */
public final class Gptq {
    /** Columns whose updates are gathered before the rest of the row is touched. */
    static final int BLOCK = 128;
    /** Rows of a tile. */
    private static final int LANES = 64;
    /** Added to the damping each time H turns out not positive definite; below 1. */
    private static final double DAMPING_STEP = 0.05;
    /** Then the diagonal itself is raised, ten times more each time. */
    private static final int FLOORS = 6;

    private Gptq() {}

    /**
     * Quantizes one matrix.
     *
     * @param weights {@code [N, K]}, F32, F16 or BF16, finite
     * @param hessian of the layer's inputs; without any row but zeros the weights are rounded to nearest and the result says so
     * @param arena where the parts of the result are allocated
     * @throws IllegalArgumentException where shapes disagree, weights are not finite, a scale does not fit its type, or H
     *     cannot be made positive definite
     */
    public static GptqResult quantize(Tensor weights, Scheme.Int4 scheme, Hessian hessian, GptqOptions options, Arena arena) {
        int k = hessian.features();
        if (weights.shape().rank() != 2 || weights.dim(1) != k) {
            throw new IllegalArgumentException("expected weights [N, " + k + "] for a Hessian of " + k + " features, got " + weights.shape());
        }
        double[] diagonal = hessian.diagonal();
        int[] order = order(diagonal, options.actOrder());
        Factor factor = factor(hessian, order, options);
        boolean[] dead = new boolean[k];
        for (int i = 0; i < k; i++) {
            // where every input was zero, or there was none, nothing is known of any column
            dead[i] = factor != null && diagonal[i] == 0;
        }
        int[] position = inverse(order);
        // the column of the matrix a group takes its i-th weight from, and the group of each column
        boolean walkGroups = options.actOrder() && !options.staticGroups();
        int[] grouped = walkGroups ? order : IntStream.range(0, k).toArray();
        Walk walk = new Walk(k, order, walkGroups ? position : grouped, grouped, dead);
        Int4Codes codes = new Int4Codes(weights.dim(0), k, scheme, arena);
        double[] losses = new double[Math.toIntExact(Math.ceilDiv(weights.dim(0), LANES))];
        int threads = Parallel.threadsFor(options.threads(), weights.data(), codes.codes().data());
        Parallel.run(losses.length, (long) LANES * k * Math.max(64, k / 16), 1, threads, (from, to) -> {
            GptqTile tile = new GptqTile(walk, factor == null ? null : factor.u, scheme, options, LANES, codes.groupSize());
            for (long t = from; t < to; t++) {
                long row = t * LANES;
                losses[(int) t] = tile.run(weights, row, (int) Math.min(LANES, weights.dim(0) - row), codes);
            }
        });
        int deadColumns = 0;
        for (boolean d : dead) {
            deadColumns += d ? 1 : 0;
        }
        return new GptqResult(codes.matrix(walkGroups ? groups(position, codes.groupSize()) : null), factor == null ? 0 : hessian.rows(),
                factor == null ? Double.NaN : factor.damping, deadColumns, Arrays.stream(losses).sum());
    }

    /** The walk over the columns of a matrix. */
    record Walk(int k, int[] order, int[] groupPosition, int[] grouped, boolean[] dead) {}

    private record Factor(float[][] u, double damping) {}

    private static int[] order(double[] diagonal, boolean actOrder) {
        IntStream columns = IntStream.range(0, diagonal.length);
        if (!actOrder) {
            return columns.toArray();
        }
        // stable: equals keep their order, so that two runs give the same bytes
        return columns.boxed().sorted(Comparator.comparingDouble((Integer i) -> -diagonal[i])).mapToInt(Integer::intValue).toArray();
    }

    private static int[] inverse(int[] order) {
        int[] position = new int[order.length];
        for (int i = 0; i < order.length; i++) {
            position[order[i]] = i;
        }
        return position;
    }

    private static int[] groups(int[] position, int groupSize) {
        int[] groups = new int[position.length];
        for (int c = 0; c < groups.length; c++) {
            groups[c] = position[c] / groupSize;
        }
        return groups;
    }

    private static Factor factor(Hessian hessian, int[] order, GptqOptions options) {
        int k = order.length;
        double mean = 0;
        for (double d : hessian.diagonal()) {
            mean += d / k;
        }
        if (mean == 0) {
            return null;
        }
        for (double damping = options.damping(); damping < 1; damping += DAMPING_STEP) {
            float[][] u = InverseFactor.of(damped(hessian, order, damping * mean), options.threads());
            if (u != null) {
                return new Factor(u, damping);
            }
        }
        double floor = 1;
        for (int i = 0; i < FLOORS; i++, floor *= 10) {
            float[][] u = InverseFactor.of(damped(hessian, order, floor * mean), options.threads());
            if (u != null) {
                return new Factor(u, floor);
            }
        }
        throw new IllegalArgumentException("the inputs' second moments are not positive definite, even with " + floor / 10
                + " times their mean added; calibrate with more or other text, or round this layer to nearest");
    }

    /** The damped moments in the order that {@link InverseFactor} takes: the walk's, reversed. */
    private static double[][] damped(Hessian hessian, int[] order, double added) {
        int k = order.length;
        int[] reversed = new int[k];
        for (int i = 0; i < k; i++) {
            reversed[i] = order[k - 1 - i];
        }
        double[][] h = hessian.ordered(reversed);
        for (int i = 0; i < k; i++) {
            h[i][i] = (h[i][i] == 0 ? 1 : h[i][i]) + added;
        }
        return h;
    }
}
