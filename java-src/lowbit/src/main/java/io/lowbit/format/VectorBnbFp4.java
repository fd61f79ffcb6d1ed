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

/** bitsandbytes FP4 codes: each threshold that a magnitude exceeds adds the step to the next code in rising order. */
final class VectorBnbFp4 {
    private static final float T0 = BnbFp4.threshold(0);
    private static final float T1 = BnbFp4.threshold(1);
    private static final float T2 = BnbFp4.threshold(2);
    private static final float T3 = BnbFp4.threshold(3);
    private static final float T4 = BnbFp4.threshold(4);
    private static final float T5 = BnbFp4.threshold(5);
    private static final float T6 = BnbFp4.threshold(6);
    private static final int S0 = step(0);
    private static final int S1 = step(1);
    private static final int S2 = step(2);
    private static final int S3 = step(3);
    private static final int S4 = step(4);
    private static final int S5 = step(5);
    private static final int S6 = step(6);

    private VectorBnbFp4() {}

    private static int step(int rank) {
        return BnbFp4.codeOfRank(rank + 1) - BnbFp4.codeOfRank(rank);
    }

    static void encode(MemorySegment x, long xOffset, float inverse, MemorySegment codes, long codesOffset, int count) {
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            FloatVector y = FloatVector.fromMemorySegment(FLOAT, x, xOffset + 4L * i, ByteOrder.LITTLE_ENDIAN).mul(inverse);
            FloatVector a = y.abs();
            IntVector c = IntVector.zero(INT);
            c = c.add(S0, a.compare(VectorOperators.GT, T0).cast(INT));
            c = c.add(S1, a.compare(VectorOperators.GT, T1).cast(INT));
            c = c.add(S2, a.compare(VectorOperators.GT, T2).cast(INT));
            c = c.add(S3, a.compare(VectorOperators.GT, T3).cast(INT));
            c = c.add(S4, a.compare(VectorOperators.GT, T4).cast(INT));
            c = c.add(S5, a.compare(VectorOperators.GT, T5).cast(INT));
            c = c.add(S6, a.compare(VectorOperators.GT, T6).cast(INT));
            c = c.add(8, y.compare(VectorOperators.LT, 0f).cast(INT));
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
            codes.set(Bytes.BYTE, codesOffset + i, (byte) BnbFp4.encode(x.get(Bytes.FLOAT, xOffset + 4L * i) * inverse));
        }
    }
}
