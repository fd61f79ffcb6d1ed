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
    /** Rows and columns of a tile of packed words: 32 KB on either side. */
    private static final int HEIGHT = 256;
    private static final int WIDTH = 32;

    private PackedWords() {}

    /** Words {@code [R, C]} as {@code [C, R]}. */
    static MemorySegment transpose32(MemorySegment from, long rows, long cols, Arena arena) {
        MemorySegment to = arena.allocate(Math.max(1, rows * cols * 4), Tensor.ALIGNMENT).asSlice(0, rows * cols * 4);
        int[] in = new int[TILE * TILE];
        int[] out = new int[TILE * TILE];
        for (long r0 = 0; r0 < rows; r0 += TILE) {
            int height = (int) Math.min(TILE, rows - r0);
            for (long c0 = 0; c0 < cols; c0 += TILE) {
                int width = (int) Math.min(TILE, cols - c0);
                for (int r = 0; r < height; r++) {
                    MemorySegment.copy(from, INT, ((r0 + r) * cols + c0) << 2, in, r * TILE, width);
                }
                for (int c = 0; c < width; c++) {
                    for (int r = 0; r < height; r++) {
                        out[c * TILE + r] = in[r * TILE + c];
                    }
                }
                for (int c = 0; c < width; c++) {
                    MemorySegment.copy(out, c * TILE, to, INT, ((c0 + c) * rows + r0) << 2, height);
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
        int[] source = new int[HEIGHT * WIDTH];
        int[] target = new int[HEIGHT * WIDTH];
        int[] from = new int[8];
        int[] to = new int[8];
        for (long r0 = 0; r0 < whole; r0 += HEIGHT) {
            int height = (int) Math.min(HEIGHT, whole - r0);
            int run = height / 8;
            for (long c0 = 0; c0 < cols; c0 += WIDTH) {
                int width = (int) Math.min(WIDTH, cols - c0);
                for (int r = 0; r < height; r++) {
                    MemorySegment.copy(in, INT, ((r0 + r) * cols + c0) << 2, source, r * width, width);
                }
                for (int i = 0; i < 8; i++) {
                    from[i] = i * width;
                    to[field[i]] = i * run;
                }
                for (int r = 0; r < run; r++) {
                    for (int c = 0; c < width; c++) {
                        transposeFields(source, 8 * r * width + c, from, target, 8 * c * run + r, to);
                    }
                }
                for (int row = 0; row < 8 * width; row++) {
                    MemorySegment.copy(target, row * run, out.data(), INT, (8 * c0 + row) * rowBytes + (r0 >>> 1), run);
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

    /** The way back: rows of nibbles {@code [C, ceil(R/2)]} as words {@code [R, C/8]}. */
    static Tensor packNibbles(Tensor nibbles, long rows, int[] field, Arena arena) {
        long cols = nibbles.dim(0) / 8;
        long rowBytes = nibbles.dim(1);
        Tensor out = Tensor.allocate(arena, DType.I32, rows, cols);
        long whole = rows & -8L;
        int[] source = new int[HEIGHT * WIDTH];
        int[] target = new int[HEIGHT * WIDTH];
        int[] from = new int[8];
        int[] to = new int[8];
        for (long r0 = 0; r0 < whole; r0 += HEIGHT) {
            int height = (int) Math.min(HEIGHT, whole - r0);
            int run = height / 8;
            for (long c0 = 0; c0 < cols; c0 += WIDTH) {
                int width = (int) Math.min(WIDTH, cols - c0);
                for (int row = 0; row < 8 * width; row++) {
                    MemorySegment.copy(nibbles.data(), INT, (8 * c0 + row) * rowBytes + (r0 >>> 1), source, row * run, run);
                }
                for (int i = 0; i < 8; i++) {
                    from[field[i]] = i * run;
                    to[i] = i * width;
                }
                for (int r = 0; r < run; r++) {
                    for (int c = 0; c < width; c++) {
                        transposeFields(source, 8 * c * run + r, from, target, 8 * r * width + c, to);
                    }
                }
                for (int r = 0; r < height; r++) {
                    MemorySegment.copy(target, r * width, out.data(), INT, ((r0 + r) * cols + c0) << 2, width);
                }
            }
        }
        for (long c = 0; c < cols; c++) {
            for (long r = whole; r < rows; r += 2) {
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

    /**
     * Field j of the words at {@code in[at + from[0..7]]}, the first lowest, becomes the word at {@code out[begin + to[j]]}: halves, quarters and
     * single fields change places between words 4, 2 and 1 apart.
     */
    private static void transposeFields(int[] in, int at, int[] from, int[] out, int begin, int[] to) {
        int a = in[at + from[0]];
        int b = in[at + from[1]];
        int c = in[at + from[2]];
        int d = in[at + from[3]];
        int e = in[at + from[4]];
        int f = in[at + from[5]];
        int g = in[at + from[6]];
        int h = in[at + from[7]];
        int t = (a >>> 16 ^ e) & 0x0000FFFF;
        a ^= t << 16;
        e ^= t;
        t = (b >>> 16 ^ f) & 0x0000FFFF;
        b ^= t << 16;
        f ^= t;
        t = (c >>> 16 ^ g) & 0x0000FFFF;
        c ^= t << 16;
        g ^= t;
        t = (d >>> 16 ^ h) & 0x0000FFFF;
        d ^= t << 16;
        h ^= t;
        t = (a >>> 8 ^ c) & 0x00FF00FF;
        a ^= t << 8;
        c ^= t;
        t = (b >>> 8 ^ d) & 0x00FF00FF;
        b ^= t << 8;
        d ^= t;
        t = (e >>> 8 ^ g) & 0x00FF00FF;
        e ^= t << 8;
        g ^= t;
        t = (f >>> 8 ^ h) & 0x00FF00FF;
        f ^= t << 8;
        h ^= t;
        t = (a >>> 4 ^ b) & 0x0F0F0F0F;
        out[begin + to[0]] = a ^ t << 4;
        out[begin + to[1]] = b ^ t;
        t = (c >>> 4 ^ d) & 0x0F0F0F0F;
        out[begin + to[2]] = c ^ t << 4;
        out[begin + to[3]] = d ^ t;
        t = (e >>> 4 ^ f) & 0x0F0F0F0F;
        out[begin + to[4]] = e ^ t << 4;
        out[begin + to[5]] = f ^ t;
        t = (g >>> 4 ^ h) & 0x0F0F0F0F;
        out[begin + to[6]] = g ^ t << 4;
        out[begin + to[7]] = h ^ t;
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
