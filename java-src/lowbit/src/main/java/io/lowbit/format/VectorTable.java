package io.lowbit.format;

import static io.lowbit.simd.Species.INT;
import static io.lowbit.simd.Species.LANES;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** Decodes 4-bit codes by a table of 16 values held in one, two or four vectors. */
final class VectorTable {
    private static final IntVector SHIFTS = IntVector.zero(INT).addIndex(8);

    private final float[] values = new float[16];
    private final int[] bits = new int[16];

    /** {@code values}: of codes 0..15. */
    VectorTable(float[] values) {
        for (int code = 0; code < 16; code++) {
            this.values[code] = values[code];
            bits[code] = Float.floatToRawIntBits(values[code]);
        }
    }

    void decode(MemorySegment codes, long codesOffset, float scale, MemorySegment x, long xOffset, int count) {
        float[] values = this.values;
        IntVector t0 = IntVector.fromArray(INT, bits, 0);
        IntVector t1 = IntVector.fromArray(INT, bits, LANES == 16 ? 0 : LANES);
        IntVector t2 = IntVector.fromArray(INT, bits, LANES == 4 ? 8 : 0);
        IntVector t3 = IntVector.fromArray(INT, bits, LANES == 4 ? 12 : 0);
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
            IntVector w;
            if (LANES == 16) {
                w = c.selectFrom(t0);
            } else if (LANES == 8) {
                w = c.selectFrom(t0, t1);
            } else {
                w = c.selectFrom(t0, t1).blend(c.selectFrom(t2, t3), c.compare(VectorOperators.GT, 7));
            }
            w.reinterpretAsFloats().mul(scale).intoMemorySegment(x, xOffset + 4L * i, ByteOrder.LITTLE_ENDIAN);
        }
        for (; i < count; i++) {
            x.set(Bytes.FLOAT, xOffset + 4L * i, values[codes.get(Bytes.BYTE, codesOffset + i)] * scale);
        }
    }
}
