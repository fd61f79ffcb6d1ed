package io.lowbit.format;

import io.lowbit.tensor.Half;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * ggml's block formats that no other scheme of Lowbit holds exactly. A block is a run of neighbours along K, in the bytes
 * that GGUF files have; after ggml's {@code dequantize_row_*}, bit for bit.
 *
 * <p>All of them are w = factor · code, or factor · code + offset, with one factor and offset for {@link #sub} neighbours:
 * the product is exact in f32, the sum rounds once.
 * <pre>
 * Q4_1    f16 d, f16 m, 16 B: byte j = element j low, j+16 high; d·q + m
 * Q5_0    f16 d, u32 of fifth bits (bit i = element i), 16 B as Q4_1; d·(q − 16)
 * Q5_1    f16 d, f16 m, u32 of fifth bits, 16 B as Q4_1; d·q + m
 * Q8_0    f16 d, 32 × i8; d·q
 * Q4_K    f16 d, f16 dmin, 12 B of eight 6-bit scales and minima, 128 B: in each 32, element l low, l+32 high
 * Q5_K    the same head, 32 B of fifth bits (bit 2c of byte l = element l of chunk c, bit 2c+1 its element l+32), 128 B
 * Q6_K    128 B of low nibbles, 64 B of high pairs, 16 × i8 scales, f16 d; d·scale·(q − 32), 16 neighbours a scale
 * IQ4_NL  f16 d, 16 B as Q4_1; d·table[q]
 * IQ4_XS  f16 d, u16 and 4 B of eight 6-bit scales, 128 B: each 16 as IQ4_NL; d·(scale − 32)·table[q]
 * </pre>
 */
public enum GgmlBlock {
    Q4_1(32, 32, 20, true) {
        @Override
        int code(MemorySegment b, long at, int i) {
            return split(b, at + 4, i);
        }

        @Override
        float offset(MemorySegment b, long at, int sub) {
            return f16(b, at + 2);
        }
    },
    Q5_0(32, 32, 22, false) {
        @Override
        int code(MemorySegment b, long at, int i) {
            return (split(b, at + 6, i) | (b.get(INT, at + 2) >>> i & 1) << 4) - 16;
        }
    },
    Q5_1(32, 32, 24, true) {
        @Override
        int code(MemorySegment b, long at, int i) {
            return split(b, at + 8, i) | (b.get(INT, at + 4) >>> i & 1) << 4;
        }

        @Override
        float offset(MemorySegment b, long at, int sub) {
            return f16(b, at + 2);
        }
    },
    Q8_0(32, 32, 34, false) {
        @Override
        int code(MemorySegment b, long at, int i) {
            return b.get(ValueLayout.JAVA_BYTE, at + 2 + i);
        }
    },
    Q4_K(256, 32, 144, true) {
        @Override
        int code(MemorySegment b, long at, int i) {
            return chunk(b, at + 16, i);
        }

        @Override
        float factor(MemorySegment b, long at, int sub) {
            return f16(b, at) * scale6(b, at + 4, sub);
        }

        @Override
        float offset(MemorySegment b, long at, int sub) {
            return -(f16(b, at + 2) * minimum6(b, at + 4, sub));
        }
    },
    Q5_K(256, 32, 176, true) {
        @Override
        int code(MemorySegment b, long at, int i) {
            return chunk(b, at + 48, i) | (b.get(ValueLayout.JAVA_BYTE, at + 16 + (i & 31)) >>> (i >> 5) & 1) << 4;
        }

        @Override
        float factor(MemorySegment b, long at, int sub) {
            return f16(b, at) * scale6(b, at + 4, sub);
        }

        @Override
        float offset(MemorySegment b, long at, int sub) {
            return -(f16(b, at + 2) * minimum6(b, at + 4, sub));
        }
    },
    Q6_K(256, 16, 210, false) {
        @Override
        int code(MemorySegment b, long at, int i) {
            int half = i >> 7;
            int l = i & 31;
            int quarter = i >> 5 & 3;
            int low = b.get(ValueLayout.JAVA_BYTE, at + 64 * half + l + 32 * (quarter & 1)) >>> (quarter & 2) * 2 & 15;
            int high = b.get(ValueLayout.JAVA_BYTE, at + 128 + 32 * half + l) >>> 2 * quarter & 3;
            return (low | high << 4) - 32;
        }

        @Override
        float factor(MemorySegment b, long at, int sub) {
            return f16(b, at + 208) * b.get(ValueLayout.JAVA_BYTE, at + 192 + sub);
        }
    },
    IQ4_NL(32, 32, 18, false) {
        @Override
        int code(MemorySegment b, long at, int i) {
            return IQ4[split(b, at + 2, i)];
        }
    },
    IQ4_XS(256, 32, 136, false) {
        @Override
        int code(MemorySegment b, long at, int i) {
            return IQ4[split(b, at + 8 + 16 * (i >> 5), i & 31)];
        }

        @Override
        float factor(MemorySegment b, long at, int sub) {
            int low = b.get(ValueLayout.JAVA_BYTE, at + 4 + (sub >> 1)) >>> 4 * (sub & 1) & 15;
            int high = b.get(ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), at + 2) >>> 2 * sub & 3;
            return f16(b, at) * ((low | high << 4) - 32);
        }
    };

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    /** The levels of IQ4_NL and IQ4_XS. */
    private static final int[] IQ4 = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

    private final int elements;
    private final int sub;
    private final int bytes;
    private final boolean offset;

    GgmlBlock(int elements, int sub, int bytes, boolean offset) {
        this.elements = elements;
        this.sub = sub;
        this.bytes = bytes;
        this.offset = offset;
    }

    /** Weights of a block. */
    public int elements() {
        return elements;
    }

    /** Bytes of a block. */
    public int bytes() {
        return bytes;
    }

    /** Neighbours that share a factor and an offset. */
    public int sub() {
        return sub;
    }

    /** As ggml's tools write it, in lower case: {@code q4_k}. */
    public String label() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }

    /** Level {@code i} (0..15) of IQ4_NL. */
    public static int iq4Level(int i) {
        return IQ4[i];
    }

    /** The integer that element {@code i} of the block at byte {@code at} stands for. */
    abstract int code(MemorySegment b, long at, int i);

    /** What the integers of part {@code sub} are multiplied with. */
    float factor(MemorySegment b, long at, int sub) {
        return f16(b, at);
    }

    /** What is added then; only where the format has it. */
    float offset(MemorySegment b, long at, int sub) {
        throw new IllegalStateException(this + " has no offset");
    }

    /** The f32 that element {@code i} of the block at byte {@code at} stands for. */
    public float value(MemorySegment data, long at, int i) {
        float product = factor(data, at, i / sub) * code(data, at, i);
        return offset ? product + offset(data, at, i / sub) : product;
    }

    /** The values of the block at byte {@code at}, as f32 from byte {@code to} on, {@code step} bytes apart. */
    public void decode(MemorySegment data, long at, MemorySegment out, long to, long step) {
        for (int part = 0; part * sub < elements; part++) {
            float factor = factor(data, at, part);
            float add = offset ? offset(data, at, part) : 0f;
            for (int i = part * sub; i < (part + 1) * sub; i++) {
                float product = factor * code(data, at, i);
                out.set(FLOAT, to + i * step, offset ? product + add : product); // adding 0 would turn −0 into 0
            }
        }
    }

    /** True where every scale of the block at byte {@code at} is finite. */
    public boolean finite(MemorySegment data, long at) {
        for (int part = 0; part * sub < elements; part++) {
            if (!Float.isFinite(factor(data, at, part)) || offset && !Float.isFinite(offset(data, at, part))) {
                return false;
            }
        }
        return true;
    }

    private static float f16(MemorySegment b, long at) {
        return Half.f16ToFloat(b.get(SHORT, at));
    }

    /** Nibbles of 32: element j in the low half of byte j, j+16 in the high one. */
    private static int split(MemorySegment b, long at, int i) {
        return b.get(ValueLayout.JAVA_BYTE, at + (i & 15)) >>> (i >> 4) * 4 & 15;
    }

    /** Nibbles of 256 in chunks of 64: element l of a chunk in the low half of byte l, l+32 in the high one. */
    private static int chunk(MemorySegment b, long at, int i) {
        return b.get(ValueLayout.JAVA_BYTE, at + 32 * (i >> 6) + (i & 31)) >>> (i >> 5 & 1) * 4 & 15;
    }

    private static int scale6(MemorySegment s, long at, int j) {
        return j < 4 ? s.get(ValueLayout.JAVA_BYTE, at + j) & 63
                : s.get(ValueLayout.JAVA_BYTE, at + j + 4) & 15 | (s.get(ValueLayout.JAVA_BYTE, at + j - 4) >>> 6 & 3) << 4;
    }

    private static int minimum6(MemorySegment s, long at, int j) {
        return j < 4 ? s.get(ValueLayout.JAVA_BYTE, at + j + 4) & 63
                : s.get(ValueLayout.JAVA_BYTE, at + j + 4) >>> 4 & 15 | (s.get(ValueLayout.JAVA_BYTE, at + j) >>> 6 & 3) << 4;
    }
}
