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

/** NF4 codes by counting the thresholds that a lane exceeds. */
final class VectorNf4 {
    private static final float T0 = Nf4.threshold(0);
    private static final float T1 = Nf4.threshold(1);
    private static final float T2 = Nf4.threshold(2);
    private static final float T3 = Nf4.threshold(3);
    private static final float T4 = Nf4.threshold(4);
    private static final float T5 = Nf4.threshold(5);
    private static final float T6 = Nf4.threshold(6);
    private static final float T7 = Nf4.threshold(7);
    private static final float T8 = Nf4.threshold(8);
    private static final float T9 = Nf4.threshold(9);
    private static final float T10 = Nf4.threshold(10);
    private static final float T11 = Nf4.threshold(11);
    private static final float T12 = Nf4.threshold(12);
    private static final float T13 = Nf4.threshold(13);
    private static final float T14 = Nf4.threshold(14);

    private VectorNf4() {}

    static void encode(MemorySegment x, long xOffset, float inverse, MemorySegment codes, long codesOffset, int count) {
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            FloatVector y = FloatVector.fromMemorySegment(FLOAT, x, xOffset + 4L * i, ByteOrder.LITTLE_ENDIAN).mul(inverse);
            IntVector c = IntVector.zero(INT);
            c = c.add(1, y.compare(VectorOperators.GT, T0).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T1).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T2).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T3).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T4).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T5).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T6).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T7).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T8).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T9).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T10).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T11).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T12).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T13).cast(INT));
            c = c.add(1, y.compare(VectorOperators.GT, T14).cast(INT));
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
            codes.set(Bytes.BYTE, codesOffset + i, (byte) Nf4.encode(x.get(Bytes.FLOAT, xOffset + 4L * i) * inverse));
        }
    }
}
