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

/** INT4 codes: clamped first (its bounds are integers), then rounded by adding 1.5·2^23, which leaves the integer in the low bits. */
final class VectorInt4 {
    private static final float MAGIC = 0x1.8p23f;

    private VectorInt4() {}

    static void encode(MemorySegment x, long xOffset, float scale, MemorySegment codes, long codesOffset, int count, int zero) {
        float low = -zero;
        float high = 15 - zero;
        int back = Float.floatToRawIntBits(MAGIC) - zero;
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            FloatVector y = FloatVector.fromMemorySegment(FLOAT, x, xOffset + 4L * i, ByteOrder.LITTLE_ENDIAN).div(scale);
            y = y.blend(high, y.compare(VectorOperators.GT, high));
            y = y.blend(low, y.compare(VectorOperators.LT, low));
            // NaN counts as 0, like the scalar cast
            y = y.blend(0f, y.compare(VectorOperators.NE, y));
            IntVector c = y.add(MAGIC).reinterpretAsInts().sub(back);
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
            codes.set(Bytes.BYTE, codesOffset + i, (byte) Int4.encode(x.get(Bytes.FLOAT, xOffset + 4L * i) / scale, zero));
        }
    }
}
