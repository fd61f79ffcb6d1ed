package io.lowbit.quant;

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
}
