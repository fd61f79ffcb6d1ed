package io.lowbit.cuda.kernels;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;

/**
 * What is to be known of a quantized matrix besides its bytes.
 *
 * @param n rows: output features
 * @param k columns: input features
 * @param nestedOffset of nested scales; 0 elsewhere
 * @param tensorScale of NVFP4: a multiplier, or where {@code divided} the divisor; 1 elsewhere
 * @param divided NVFP4 block scales are divided by {@code tensorScale}, not multiplied
 * @param columns which columns make a group
 */
public record MatrixShape(Scheme scheme, long n, long k, float nestedOffset, float tensorScale, boolean divided, Columns columns) {
    /** Which columns make a group of INT4. */
    public enum Columns {
        /** Neighbours; for all other schemes too. */
        NEIGHBOURS,
        /** Act-order: any, given for each column. Once sorted by group they are the scheme's groups of neighbours. */
        SORTABLE,
        /** Act-order with groups of other sizes than the scheme's. */
        SCATTERED
    }

    /** A matrix with nothing special to it. */
    public static MatrixShape plain(Scheme scheme, long n, long k) {
        return new MatrixShape(scheme, n, k, 0, 1, false, Columns.NEIGHBOURS);
    }

    /** Of {@code w}. */
    public static MatrixShape of(QuantizedMatrix w) {
        boolean divided = !Float.isNaN(w.tensorDivisor());
        return new MatrixShape(w.scheme(), w.n(), w.k(), w.nested() == null ? 0f : w.nested().offset(),
                divided ? w.tensorDivisor() : w.tensorScale(), divided, columns(w));
    }

    private static Columns columns(QuantizedMatrix w) {
        if (w.groups() == null) {
            return Columns.NEIGHBOURS;
        }
        int size = ((Grouping.PerGroup) ((Scheme.Int4) w.scheme()).grouping()).size();
        long[] left = new long[Math.toIntExact(w.scales().dim(1))];
        for (int group = 0; group < left.length; group++) {
            left[group] = Math.min(size, w.k() - (long) group * size);
        }
        for (long col = 0; col < w.k(); col++) {
            if (--left[w.groups().getInt(col)] < 0) {
                return Columns.SCATTERED;
            }
        }
        return Columns.SORTABLE;
    }

    /** True where the group of each column is given. */
    public boolean actOrder() {
        return columns != Columns.NEIGHBOURS;
    }

    @Override
    public String toString() {
        return scheme.label() + " [" + n + ", " + k + "]";
    }
}
