package io.lowbit.quant.calibrate;

import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;

/** One worker's tile of rows on GPTQ's walk: weights as {@code [column][lane]}, so that every loop runs over rows. */
final class GptqTile {
    private final Gptq.Walk walk;
    private final float[][] u;
    private final GptqOptions options;
    private final int lanes;
    private final int groupSize;
    private final float[][] w;
    private final float[][] errors;
    private final float[] row;
    private final GroupGrids grids;

    /** @param u null rounds to nearest */
    GptqTile(Gptq.Walk walk, float[][] u, Scheme.Int4 scheme, GptqOptions options, int lanes, int groupSize) {
        this.walk = walk;
        this.u = u;
        this.options = options;
        this.lanes = lanes;
        this.groupSize = groupSize;
        this.w = new float[walk.k()][lanes];
        this.errors = new float[Gptq.BLOCK][lanes];
        this.row = new float[walk.k()];
        this.grids = new GroupGrids(lanes, Math.ceilDiv(walk.k(), groupSize), scheme, options.clip());
    }

    /** Quantizes rows {@code first} to {@code first + count} into {@code out}; their loss. */
    double run(Tensor weights, long first, int count, Int4Codes out) {
        load(weights, first, count);
        int k = walk.k();
        int[] order = walk.order();
        double loss = 0;
        if (u == null || options.staticGroups()) {
            chooseGroups(0, k, first);
        }
        for (int begin = 0; begin < k; begin += Gptq.BLOCK) {
            int end = Math.min(k, begin + Gptq.BLOCK);
            if (u != null && !options.staticGroups()) {
                chooseGroups(begin, end, first);
            }
            for (int i = begin; i < end; i++) {
                int column = order[i];
                int at = walk.groupPosition()[column];
                float[] error = errors[i - begin];
                loss += round(w[column], grids, at / groupSize, u == null ? 1f : u[i][i], error, count);
                out.column(first, count, column, w[column]);
                if (u != null) {
                    for (int j = i + 1; j < end; j++) {
                        subtract(w[order[j]], u[i][j], error);
                    }
                }
            }
            if (u != null) {
                for (int j = end; j < k; j++) {
                    settle(w[order[j]], begin, end, j);
                }
            }
        }
        out.grids(first, count, grids, lanes);
        return loss;
    }

    private void load(Tensor weights, long first, int count) {
        int k = walk.k();
        for (int lane = 0; lane < count; lane++) {
            weights.readFloats((first + lane) * k, row, 0, k);
            for (int c = 0; c < k; c++) {
                if (!Float.isFinite(row[c])) {
                    throw new IllegalArgumentException("weight [" + (first + lane) + ", " + c + "] is " + row[c]
                            + "; repair the weights or leave the layer out");
                }
                w[c][lane] = walk.dead()[c] ? 0 : row[c];
            }
        }
        for (int c = 0; c < k; c++) {
            for (int lane = count; lane < lanes; lane++) {
                w[c][lane] = 0;
            }
        }
    }

    /** Chooses the groups that begin in positions {@code from} to {@code to}. */
    private void chooseGroups(int from, int to, long first) {
        for (int g = Math.ceilDiv(from, groupSize); g * groupSize < to; g++) {
            int last = Math.min(walk.k(), (g + 1) * groupSize);
            try {
                grids.choose(g, w, walk.grouped(), g * groupSize, last);
            } catch (ArithmeticException e) {
                throw new IllegalArgumentException("the INT4 scale of group " + g + " in rows " + first + " to " + (first + lanes - 1)
                        + " does not fit its type; use F32 scales", e);
            }
        }
    }

    /** Rounds a column; {@code column} becomes the codes and {@code error} what the others have to make good. */
    private double round(float[] column, GroupGrids grids, int group, float pivot, float[] error, int count) {
        int at = group * lanes;
        for (int r = 0; r < column.length; r++) {
            float scale = grids.scales[at + r];
            float zero = grids.zeros[at + r];
            float v = column[r];
            // code − zero, clamped to the 16 there are
            float q = Math.clamp((float) Math.rint(v / scale), -zero, 15 - zero);
            error[r] = (v - q * scale) / pivot;
            column[r] = q + zero;
        }
        double loss = 0;
        for (int r = 0; r < count; r++) {
            loss += (double) error[r] * error[r] / 2;
        }
        return loss;
    }

    private static void subtract(float[] column, float factor, float[] error) {
        for (int r = 0; r < column.length; r++) {
            column[r] -= factor * error[r];
        }
    }

    /** What the block {@code begin..end} owes to position {@code j}. */
    private void settle(float[] column, int begin, int end, int j) {
        int i = begin;
        for (; i + 4 <= end; i += 4) {
            subtract4(column, u[i][j], errors[i - begin], u[i + 1][j], errors[i + 1 - begin], u[i + 2][j], errors[i + 2 - begin], u[i + 3][j],
                    errors[i + 3 - begin]);
        }
        for (; i < end; i++) {
            subtract(column, u[i][j], errors[i - begin]);
        }
    }

    private static void subtract4(float[] column, float f0, float[] e0, float f1, float[] e1, float f2, float[] e2, float f3, float[] e3) {
        for (int r = 0; r < column.length; r++) {
            column[r] -= f0 * e0[r] + f1 * e1[r] + f2 * e2[r] + f3 * e3[r];
        }
    }
}
