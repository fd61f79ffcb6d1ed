package io.lowbit.cuda;

import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;

/** Refuses what does not fit a product y = x · Wᵀ. */
final class ProductArguments {
    private ProductArguments() {}

    /** @return M */
    static long check(Scheme scheme, long n, long k, DType xType, Shape x, DType yType, Shape y) {
        if (!computes(xType) || !computes(yType)) {
            throw new IllegalArgumentException(scheme.label() + " [" + n + ", " + k + "]: expected x and y of F32, F16 or BF16, got "
                    + xType + " and " + yType);
        }
        if (x.rank() != 2 || x.dim(1) != k) {
            throw new IllegalArgumentException(scheme.label() + " [" + n + ", " + k + "]: expected x [M, " + k + "], got " + x);
        }
        if (y.rank() != 2 || y.dim(0) != x.dim(0) || y.dim(1) != n) {
            throw new IllegalArgumentException(scheme.label() + " [" + n + ", " + k + "]: expected y [" + x.dim(0) + ", " + n + "], got " + y);
        }
        return x.dim(0);
    }

    /** Refuses overlapping byte ranges. */
    static void checkApart(long x, long xBytes, long y, long yBytes) {
        if (xBytes > 0 && yBytes > 0 && x < y + yBytes && y < x + xBytes) {
            throw new IllegalArgumentException("x and y overlap; give y memory of its own");
        }
    }

    private static boolean computes(DType type) {
        return type == DType.F32 || type == DType.F16 || type == DType.BF16;
    }
}
