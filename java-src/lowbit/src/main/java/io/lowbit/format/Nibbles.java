package io.lowbit.format;

import java.lang.foreign.MemorySegment;

/** Two 4-bit codes in a byte. */
public enum Nibbles {
    /** The first of two in the low nibble: INT4, MXFP4, NVFP4 and nearly everyone. */
    LOW_FIRST,
    /** The first of two in the high nibble: bitsandbytes. */
    HIGH_FIRST;

    private static final long EVERY_LOW = 0x0f0f0f0f0f0f0f0fL;

    /**
     * Packs {@code count} codes of one byte each (0..15) into ceil(count / 2) bytes.
     *
     * @param pad code of the nibble left over where {@code count} is odd
     */
    public void pack(MemorySegment codes, long codesOffset, MemorySegment packed, long packedOffset, long count, int pad) {
        int first = this == LOW_FIRST ? 0 : 4;
        long i = 0;
        for (; i + 8 <= count; i += 8) {
            // eight codes: join neighbours, then close the gaps
            long v = codes.get(Bytes.LONG, codesOffset + i);
            v = this == LOW_FIRST ? v | v >>> 4 : v << 4 | v >>> 8;
            v &= 0x00ff00ff00ff00ffL;
            v = (v | v >>> 8) & 0x0000ffff0000ffffL;
            packed.set(Bytes.INT, packedOffset + (i >>> 1), (int) (v | v >>> 16));
        }
        for (; i < count; i += 2) {
            int a = codes.get(Bytes.BYTE, codesOffset + i);
            int b = i + 1 < count ? codes.get(Bytes.BYTE, codesOffset + i + 1) : pad;
            packed.set(Bytes.BYTE, packedOffset + (i >>> 1), (byte) (a << first | b << (4 - first)));
        }
    }

    /**
     * Unpacks {@code count} codes, beginning with nibble {@code from} of the packed run, into one byte each.
     *
     * @param from index of the first nibble, counted from {@code packedOffset}; may be odd
     */
    public void unpack(MemorySegment packed, long packedOffset, long from, MemorySegment codes, long codesOffset, long count) {
        long i = 0;
        if ((from & 1) != 0 && count > 0) {
            codes.set(Bytes.BYTE, codesOffset, (byte) get(packed, packedOffset, from));
            i = 1;
        }
        for (; i + 8 <= count; i += 8) {
            long v = packed.get(Bytes.INT, packedOffset + (from + i >>> 1)) & 0xffffffffL;
            v = (v | v << 16) & 0x0000ffff0000ffffL;
            v = (v | v << 8) & 0x00ff00ff00ff00ffL;
            v = this == LOW_FIRST ? v | v << 4 : v >>> 4 | v << 8;
            codes.set(Bytes.LONG, codesOffset + i, v & EVERY_LOW);
        }
        for (; i < count; i++) {
            codes.set(Bytes.BYTE, codesOffset + i, (byte) get(packed, packedOffset, from + i));
        }
    }

    /** Nibble {@code index} of the packed run at {@code packedOffset}: 0..15. */
    public int get(MemorySegment packed, long packedOffset, long index) {
        int pair = packed.get(Bytes.BYTE, packedOffset + (index >>> 1));
        boolean low = ((index & 1) == 0) == (this == LOW_FIRST);
        return low ? pair & 15 : pair >>> 4 & 15;
    }
}
