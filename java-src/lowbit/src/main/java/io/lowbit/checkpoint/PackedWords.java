package io.lowbit.checkpoint;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Words of eight 4-bit fields between the orders of checkpoints and the canonical one. */
final class PackedWords {
    static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    /** Field of a word in which AutoAWQ keeps output 0..7 of its eight. */
    static final int[] AWQ_FIELD = {0, 4, 1, 5, 2, 6, 3, 7};
    /** Field of output 0..7 where they are in order. */
    static final int[] IN_ORDER = {0, 1, 2, 3, 4, 5, 6, 7};
    /** Side of the tiles in which matrices are transposed, so that both sides stay in the cache. */
    private static final int TILE = 64;

    private PackedWords() {}

    /** Words {@code [R, C]} as {@code [C, R]}. */
    static MemorySegment transpose32(MemorySegment from, long rows, long cols, Arena arena) {
        MemorySegment to = arena.allocate(Math.max(1, rows * cols * 4), Tensor.ALIGNMENT).asSlice(0, rows * cols * 4);
        for (long r0 = 0; r0 < rows; r0 += TILE) {
            for (long c0 = 0; c0 < cols; c0 += TILE) {
                for (long c = c0; c < Math.min(cols, c0 + TILE); c++) {
                    for (long r = r0; r < Math.min(rows, r0 + TILE); r++) {
                        to.set(INT, (c * rows + r) << 2, from.get(INT, (r * cols + c) << 2));
                    }
                }
            }
        }
        return to;
    }

    /** A tensor {@code [R, C]} of 16- or 32-bit elements as {@code [C, R]}. */
    static Tensor transpose(Tensor t, Arena arena) {
        long rows = t.dim(0);
        long cols = t.dim(1);
        if (t.dtype().bits() == 32) {
            return new Tensor(t.dtype(), Shape.of(cols, rows), transpose32(t.data(), rows, cols, arena));
        }
        Tensor out = Tensor.allocate(arena, t.dtype(), cols, rows);
        for (long r0 = 0; r0 < rows; r0 += TILE) {
            for (long c0 = 0; c0 < cols; c0 += TILE) {
                for (long c = c0; c < Math.min(cols, c0 + TILE); c++) {
                    for (long r = r0; r < Math.min(rows, r0 + TILE); r++) {
                        out.data().set(SHORT, (c * rows + r) << 1, t.data().get(SHORT, (r * cols + c) << 1));
                    }
                }
            }
        }
        return out;
    }

    /**
     * Words {@code [R, C/8]} whose fields run along C, as rows of nibbles {@code [C, ceil(R/2)]}, even r in the low one.
     *
     * @param field of element 0..7 of a word
     */
    static Tensor transposeNibbles(Tensor words, int[] field, Arena arena) {
        long rows = words.dim(0);
        long cols = words.dim(1);
        long rowBytes = Math.ceilDiv(rows, 2L);
        Tensor out = Tensor.allocate(arena, DType.U8, cols * 8, rowBytes);
        MemorySegment in = words.data();
        long whole = rows & -8L;
        int[] eight = new int[8];
        for (long c0 = 0; c0 < cols; c0 += TILE) {
            for (long r = 0; r < whole; r += 8) {
                for (long c = c0; c < Math.min(cols, c0 + TILE); c++) {
                    for (int i = 0; i < 8; i++) {
                        eight[i] = in.get(INT, ((r + i) * cols + c) << 2);
                    }
                    for (int j = 0; j < 8; j++) {
                        out.data().set(INT, (8 * c + j) * rowBytes + (r >>> 1), gather(eight, 4 * field[j]));
                    }
                }
            }
        }
        for (long r = whole; r < rows; r += 2) {
            for (long c = 0; c < cols; c++) {
                int low = in.get(INT, (r * cols + c) << 2);
                int high = r + 1 < rows ? in.get(INT, ((r + 1) * cols + c) << 2) : 0;
                for (int j = 0; j < 8; j++) {
                    int shift = 4 * field[j];
                    out.data().set(ValueLayout.JAVA_BYTE, (8 * c + j) * rowBytes + (r >>> 1), (byte) (low >>> shift & 15 | (high >>> shift & 15) << 4));
                }
            }
        }
        return out;
    }

    /** The field at bit {@code shift} of each of eight words, the first lowest. */
    private static int gather(int[] words, int shift) {
        return words[0] >>> shift & 15 | (words[1] >>> shift & 15) << 4 | (words[2] >>> shift & 15) << 8 | (words[3] >>> shift & 15) << 12
                | (words[4] >>> shift & 15) << 16 | (words[5] >>> shift & 15) << 20 | (words[6] >>> shift & 15) << 24 | (words[7] >>> shift & 15) << 28;
    }

    /** The way back: rows of nibbles {@code [C, ceil(R/2)]} as words {@code [R, C/8]}. */
    static Tensor packNibbles(Tensor nibbles, long rows, int[] field, Arena arena) {
        long cols = nibbles.dim(0) / 8;
        long rowBytes = nibbles.dim(1);
        Tensor out = Tensor.allocate(arena, DType.I32, rows, cols);
        for (long c = 0; c < cols; c++) {
            for (long r = 0; r < rows; r += 2) {
                int low = 0;
                int high = 0;
                for (int j = 0; j < 8; j++) {
                    int pair = nibbles.getByte((8 * c + j) * rowBytes + (r >>> 1));
                    low |= (pair & 15) << 4 * field[j];
                    high |= (pair >>> 4) << 4 * field[j];
                }
                out.data().set(INT, (r * cols + c) << 2, low);
                if (r + 1 < rows) {
                    out.data().set(INT, ((r + 1) * cols + c) << 2, high);
                }
            }
        }
        return out;
    }

    /** Adds {@code delta} to each of the eight fields, without carry between them. */
    static int addToFields(int word, int delta) {
        int out = 0;
        for (int shift = 0; shift < 32; shift += 4) {
            out |= ((word >>> shift) + delta & 15) << shift;
        }
        return out;
    }

    /** True where a field is 15. */
    static boolean hasFifteen(int word) {
        int and = word & word >>> 1 & word >>> 2 & word >>> 3;
        return (and & 0x11111111) != 0;
    }
}
