package io.lowbit.quant;

import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Whether two matrices stand for the same weights, bit for bit. */
public final class SameValues {
    private SameValues() {}

    /**
     * The first weight, row-major, whose f32 bits differ between {@code a} and {@code b}; −1 where none does.
     *
     * @throws IllegalArgumentException where their shapes differ
     */
    public static long mismatch(QuantizedMatrix a, QuantizedMatrix b) {
        if (a.n() != b.n() || a.k() != b.k()) {
            throw new IllegalArgumentException(a + " and " + b + " have different shapes");
        }
        if (sameParts(a, b)) {
            return -1;
        }
        long k = a.k();
        try (Arena scratch = Arena.ofConfined()) {
            RowDecoder first = new RowDecoder(a, scratch);
            RowDecoder second = new RowDecoder(b, scratch);
            MemorySegment x = scratch.allocate(Math.max(4, 4 * k), 64);
            MemorySegment y = scratch.allocate(Math.max(4, 4 * k), 64);
            for (long row = 0; row < a.n(); row++) {
                first.decode(row, x, 0);
                second.decode(row, y, 0);
                long at = x.mismatch(y);
                if (at >= 0) {
                    return row * k + at / 4;
                }
            }
        }
        return -1;
    }

    /** True where codes, scales and all else that decoding reads are the same bytes: then it need not be done. */
    private static boolean sameParts(QuantizedMatrix a, QuantizedMatrix b) {
        return a.scheme().equals(b.scheme()) && a.nested() == null && b.nested() == null
                && Float.floatToRawIntBits(a.tensorScale()) == Float.floatToRawIntBits(b.tensorScale())
                && Float.floatToRawIntBits(a.tensorDivisor()) == Float.floatToRawIntBits(b.tensorDivisor())
                && same(a.codes(), b.codes()) && same(a.scales(), b.scales()) && same(a.zeros(), b.zeros()) && same(a.groups(), b.groups());
    }

    private static boolean same(Tensor a, Tensor b) {
        return a == null || b == null ? a == b : a.dtype() == b.dtype() && a.shape().equals(b.shape()) && a.data().mismatch(b.data()) < 0;
    }
}
