package io.lowbit.cuda.kernels;

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
 * @param actOrder INT4 columns belong to groups in any order, given for each column
 */
public record MatrixShape(Scheme scheme, long n, long k, float nestedOffset, float tensorScale, boolean divided, boolean actOrder) {
    /** A matrix with nothing special to it. */
    public static MatrixShape plain(Scheme scheme, long n, long k) {
        return new MatrixShape(scheme, n, k, 0, 1, false, false);
    }

    /** Of {@code w}. */
    public static MatrixShape of(QuantizedMatrix w) {
        boolean divided = !Float.isNaN(w.tensorDivisor());
        return new MatrixShape(w.scheme(), w.n(), w.k(), w.nested() == null ? 0f : w.nested().offset(),
                divided ? w.tensorDivisor() : w.tensorScale(), divided, w.groups() != null);
    }

    @Override
    public String toString() {
        return scheme.label() + " [" + n + ", " + k + "]";
    }
}
