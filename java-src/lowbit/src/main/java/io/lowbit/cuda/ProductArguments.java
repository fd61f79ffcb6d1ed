package io.lowbit.cuda;

import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;

/** Refuses what does not fit a product y = x · Wᵀ. */
final class ProductArguments {
    private ProductArguments() {}

    /** @return M */
    static long check(Scheme scheme, long n, long k, DType xType, Shape x, DType yType, Shape y) {
        check(scheme, n, k, "x", xType, x, k);
        check(scheme, n, k, "y", yType, y, n);
        if (x.dim(0) != y.dim(0)) {
            throw new IllegalArgumentException(label(scheme, n, k) + ": x has " + x.dim(0) + " rows, y has " + y.dim(0) + "; expected as many");
        }
        return x.dim(0);
    }

    private static void check(Scheme scheme, long n, long k, String name, DType type, Shape shape, long columns) {
        if (!computes(type)) {
            throw new IllegalArgumentException(label(scheme, n, k) + ": expected " + name + " in F32, F16 or BF16, got " + type);
        }
        if (shape.rank() != 2 || shape.dim(1) != columns) {
            throw new IllegalArgumentException(label(scheme, n, k) + ": expected " + name + " [M, " + columns + "], got " + shape);
        }
    }

    private static String label(Scheme scheme, long n, long k) {
        return scheme.label() + " [" + n + ", " + k + "]";
    }

    /** Refuses host tensors whose memory is gone or shared. */
    static void checkMemory(Tensor x, Tensor y) {
        requireAlive("x", x);
        requireAlive("y", y);
        if (x.data().isNative() && y.data().isNative()) {
            checkApart(x.data().address(), x.data().byteSize(), y.data().address(), y.data().byteSize());
        } else if (!x.data().isNative() && !y.data().isNative() && x.data().asOverlappingSlice(y.data()).isPresent()) {
            throw new IllegalArgumentException("x and y overlap; give y memory of its own");
        }
    }

    private static void requireAlive(String name, Tensor t) {
        if (!t.data().scope().isAlive()) {
            throw new IllegalStateException("the arena of " + name + " is closed");
        }
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
