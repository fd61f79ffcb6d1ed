package io.lowbit.format;

import io.lowbit.simd.Simd;
import java.lang.foreign.MemorySegment;

/** The bulk codecs of all formats, in scalar code or by the Vector API: same bits. */
public interface Codecs {
    /** bitsandbytes NF4, scaled by the reciprocal. */
    BulkCodec nf4();

    /** bitsandbytes FP4, scaled by the reciprocal. */
    BulkCodec bnbFp4();

    /** OCP E2M1, scaled by division. */
    BulkCodec e2m1(NanCode nan);

    /** FP8. */
    BulkCodec float8(Float8 format, Overflow overflow, NanCode nan, Scaling scaling);

    /**
     * Unsigned INT4, scaled by division.
     *
     * @param zero the zero point, 0..15
     */
    BulkCodec int4(int zero);

    /**
     * The range of {@code count} floats, as bits: the largest of them and +0 in the upper half, the magnitude of the
     * smallest of them and −0 in the lower. A half of 0x7f800000 or more tells of an infinity or NaN among them.
     */
    long range(MemorySegment x, long xOffset, long count);

    /** BF16 to F32, exact. */
    void widenBf16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count);

    /** F16 to F32, exact. */
    void widenF16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count);

    /** F32 to BF16, nearest even. */
    void narrowBf16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count);

    /** F32 to F16, nearest even. */
    void narrowF16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long count);

    /** The scalar code: the definition. */
    static Codecs scalar() {
        return ScalarCodecs.INSTANCE;
    }

    /** What this JVM runs: the Vector API twins where {@link Simd#vectorized()}, else {@link #scalar()}. */
    static Codecs chosen() {
        return Chosen.INSTANCE;
    }

    /** Holder: the vector classes load only where vectors run. */
    final class Chosen {
        private static final Codecs INSTANCE = Simd.vectorized() ? VectorCodecs.INSTANCE : ScalarCodecs.INSTANCE;

        private Chosen() {}
    }
}
