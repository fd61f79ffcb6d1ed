package io.lowbit.format;

import static io.lowbit.simd.Species.FLOAT;
import static io.lowbit.simd.Species.INT;
import static io.lowbit.simd.Species.LANES;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** FP8 codes by integer arithmetic on f32 bits, and back. */
final class VectorFloat8 {
    private static final IntVector SHIFTS = IntVector.zero(INT).addIndex(8);

    private static final int INFINITY = 0x7f800000;

    private final Float8 format;
    private final Overflow overflow;
    private final NanCode nan;
    private final int maxCode;
    private final int overflowCode;
    /** A NaN becomes (sign &amp; nanAnd) | nanOr. */
    private final int nanAnd;
    private final int nanOr;
    /** f32 mantissa bits that the format lacks. */
    private final int shift;
    private final int rebias;
    /** f32 bits of the smallest normal value. */
    private final int minNormal;
    /** A float whose last place is the format's smallest subnormal: adding it rounds to multiples of that. */
    private final float magic;

    VectorFloat8(Float8 format, Overflow overflow, NanCode nan) {
        this.format = format;
        this.overflow = overflow;
        this.nan = nan;
        maxCode = format.maxCode();
        overflowCode = format.overflowCode(overflow);
        nanAnd = nan == NanCode.CANONICAL ? 0 : 0x80;
        nanOr = format.nanCode(nan, 0);
        shift = 23 - format.mantissaBits();
        rebias = 127 - format.bias() << format.mantissaBits();
        minNormal = 128 - format.bias() << 23;
        magic = Math.scalb(1f, 1 - format.bias() - format.mantissaBits() + 23);
    }

    /** Codes of x · {@code factor} / {@code divisor}, one of which is 1. */
    void encode(MemorySegment x, long xOffset, float factor, float divisor, MemorySegment codes, long codesOffset, int count) {
        int maxCode = this.maxCode;
        int overflowCode = this.overflowCode;
        int nanAnd = this.nanAnd;
        int nanOr = this.nanOr;
        int shift = this.shift;
        int rebias = this.rebias;
        int minNormal = this.minNormal;
        float magic = this.magic;
        int magicBits = Float.floatToRawIntBits(magic);
        int half = (1 << shift - 1) - 1;
        boolean divide = divisor != 1f;
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            FloatVector v = FloatVector.fromMemorySegment(FLOAT, x, xOffset + 4L * i, ByteOrder.LITTLE_ENDIAN);
            IntVector u = (divide ? v.div(divisor) : v.mul(factor)).reinterpretAsInts();
            IntVector sign = u.lanewise(VectorOperators.LSHR, 24).and(0x80);
            IntVector a = u.and(0x7fffffff);
            IntVector odd = a.lanewise(VectorOperators.LSHR, shift).and(1);
            IntVector c = a.add(half).add(odd).lanewise(VectorOperators.LSHR, shift).sub(rebias);
            IntVector subnormal = a.reinterpretAsFloats().add(magic).reinterpretAsInts().sub(magicBits);
            c = c.blend(subnormal, a.compare(VectorOperators.LT, minNormal));
            c = c.blend(overflowCode, c.compare(VectorOperators.GT, maxCode));
            c = c.or(sign);
            c = c.blend(sign.and(nanAnd).or(nanOr), a.compare(VectorOperators.GT, INFINITY));
            long at = codesOffset + i;
            if (LANES == 16) {
                ((ByteVector) c.convertShape(VectorOperators.I2B, ByteVector.SPECIES_128, 0)).intoMemorySegment(codes, at, ByteOrder.LITTLE_ENDIAN);
            } else if (LANES == 8) {
                ((ByteVector) c.convertShape(VectorOperators.I2B, ByteVector.SPECIES_64, 0)).intoMemorySegment(codes, at, ByteOrder.LITTLE_ENDIAN);
            } else {
                ByteVector b = (ByteVector) c.convertShape(VectorOperators.I2B, ByteVector.SPECIES_64, 0);
                codes.set(Bytes.INT, at, (int) b.reinterpretAsLongs().lane(0));
            }
        }
        for (; i < count; i++) {
            float v = x.get(Bytes.FLOAT, xOffset + 4L * i);
            codes.set(Bytes.BYTE, codesOffset + i, (byte) format.encode(divide ? v / divisor : v * factor, overflow, nan));
        }
    }

    /**
     * Values times {@code scale}. With the exponent field moved to f32's, a subnormal m/8 · 2^e reads (1 + m/8) · 2^(e−1):
     * twice that less 2^e is the value, and for normals exceeds it.
     */
    void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, int count) {
        int shift = this.shift;
        int bias = 127 - format.bias() << 23;
        float least = Float.intBitsToFloat(minNormal);
        // above the largest finite code: E4M3 NaN; E5M2 infinity, then NaN
        int special = format.maxCode();
        int firstNan = format == Float8.E4M3 ? 0x7f : 0x7d;
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            long at = codesOffset + i;
            IntVector c;
            if (LANES == 16) {
                c = (IntVector) ByteVector.fromMemorySegment(ByteVector.SPECIES_128, codes, at, ByteOrder.LITTLE_ENDIAN)
                        .convertShape(VectorOperators.B2I, INT, 0);
            } else if (LANES == 8) {
                c = (IntVector) ByteVector.fromMemorySegment(ByteVector.SPECIES_64, codes, at, ByteOrder.LITTLE_ENDIAN)
                        .convertShape(VectorOperators.B2I, INT, 0);
            } else {
                // four bytes have no vector species: spread an int over the lanes
                c = IntVector.broadcast(INT, codes.get(Bytes.INT, at)).lanewise(VectorOperators.LSHR, SHIFTS).and(0xff);
            }
            IntVector magnitude = c.and(0x7f);
            FloatVector q = magnitude.lanewise(VectorOperators.LSHL, shift).add(bias).reinterpretAsFloats();
            IntVector w = q.add(q).sub(least).reinterpretAsInts().min(q.reinterpretAsInts());
            w = w.blend(INFINITY, magnitude.compare(VectorOperators.GT, special));
            w = w.blend(0x7fc00000, magnitude.compare(VectorOperators.GE, firstNan));
            IntVector sign = c.and(0x80).lanewise(VectorOperators.LSHL, 24);
            w.or(sign).reinterpretAsFloats().mul(scale).intoMemorySegment(x, xOffset + 4L * i, ByteOrder.LITTLE_ENDIAN);
        }
        for (; i < count; i++) {
            x.set(Bytes.FLOAT, xOffset + 4L * i, format.decode(codes.get(Bytes.BYTE, codesOffset + i) & 0xff) * scale);
        }
    }
}
