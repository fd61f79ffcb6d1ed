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

/** E2M1 codes by counting the thresholds that a magnitude passes; those that round up at a tie are passed by equality. */
final class VectorE2M1 {
    private VectorE2M1() {}

    /** A NaN becomes (sign &amp; {@code nanAnd}) ^ {@code nanXor}, the sign in bit 3. */
    static void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, int count, NanCode nan) {
        int nanAnd = nan == NanCode.ML_DTYPES ? 8 : 0;
        int nanXor = nan == NanCode.ML_DTYPES ? 8 : 7;
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            FloatVector y = FloatVector.fromMemorySegment(FLOAT, x, xOffset + 4L * i, ByteOrder.LITTLE_ENDIAN).div(scale);
            FloatVector a = y.abs();
            IntVector sign = y.reinterpretAsInts().lanewise(VectorOperators.LSHR, 28).and(8);
            IntVector c = sign;
            c = c.add(1, a.compare(VectorOperators.GT, 0.25f).cast(INT));
            c = c.add(1, a.compare(VectorOperators.GE, 0.75f).cast(INT));
            c = c.add(1, a.compare(VectorOperators.GT, 1.25f).cast(INT));
            c = c.add(1, a.compare(VectorOperators.GE, 1.75f).cast(INT));
            c = c.add(1, a.compare(VectorOperators.GT, 2.5f).cast(INT));
            c = c.add(1, a.compare(VectorOperators.GE, 3.5f).cast(INT));
            c = c.add(1, a.compare(VectorOperators.GT, 5f).cast(INT));
            c = c.blend(sign.and(nanAnd).lanewise(VectorOperators.XOR, nanXor), y.compare(VectorOperators.NE, y).cast(INT));
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
            codes.set(Bytes.BYTE, codesOffset + i, (byte) E2M1.encode(x.get(Bytes.FLOAT, xOffset + 4L * i) / scale, nan));
        }
    }
}
