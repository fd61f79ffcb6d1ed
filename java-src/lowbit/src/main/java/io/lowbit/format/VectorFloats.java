package io.lowbit.format;

import static io.lowbit.simd.Species.INT;
import static io.lowbit.simd.Species.LANES;

import io.lowbit.tensor.Half;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Range of floats, and conversions between F32 and the 16-bit types. */
final class VectorFloats {
    /** As many shorts as {@link io.lowbit.simd.Species#INT} has lanes. */
    private static final VectorSpecies<Short> SHORT = VectorSpecies.of(short.class, VectorShape.forBitSize(16 * LANES));

    private static final int SIGN = 0x80000000;
    private static final int INFINITY = 0x7f800000;
    private static final int QUIET = 0x00400000;

    private VectorFloats() {}

    static long range(MemorySegment x, long offset, int count) {
        IntVector highs = IntVector.zero(INT);
        IntVector lows = IntVector.zero(INT);
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            IntVector u = IntVector.fromMemorySegment(INT, x, offset + 4L * i, ByteOrder.LITTLE_ENDIAN);
            highs = highs.max(u);
            lows = lows.max(u.lanewise(VectorOperators.XOR, SIGN));
        }
        int high = highs.reduceLanes(VectorOperators.MAX);
        int low = lows.reduceLanes(VectorOperators.MAX);
        for (; i < count; i++) {
            int u = x.get(Bytes.INT, offset + 4L * i);
            high = Math.max(high, u);
            low = Math.max(low, u ^ SIGN);
        }
        return (long) high << 32 | low;
    }

    static void widenBf16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, int count) {
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            ShortVector h = ShortVector.fromMemorySegment(SHORT, from, fromOffset + 2L * i, ByteOrder.LITTLE_ENDIAN);
            IntVector u = (IntVector) h.convertShape(VectorOperators.S2I, INT, 0);
            u.lanewise(VectorOperators.LSHL, 16).intoMemorySegment(to, toOffset + 4L * i, ByteOrder.LITTLE_ENDIAN);
        }
        for (; i < count; i++) {
            to.set(Bytes.INT, toOffset + 4L * i, from.get(Bytes.SHORT, fromOffset + 2L * i) << 16);
        }
    }

    /** As the FP8 decoder: exponents moved, subnormals by one subtraction; infinities and NaN get f32's exponent. */
    static void widenF16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, int count) {
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            ShortVector h = ShortVector.fromMemorySegment(SHORT, from, fromOffset + 2L * i, ByteOrder.LITTLE_ENDIAN);
            IntVector c = (IntVector) h.convertShape(VectorOperators.S2I, INT, 0);
            IntVector magnitude = c.and(0x7fff);
            FloatVector q = magnitude.lanewise(VectorOperators.LSHL, 13).add(112 << 23).reinterpretAsFloats();
            IntVector w = q.add(q).sub(0x1p-14f).reinterpretAsInts().min(q.reinterpretAsInts());
            w = w.blend(q.reinterpretAsInts().or(INFINITY), magnitude.compare(VectorOperators.GE, 0x7c00));
            w = w.blend(w.or(QUIET), magnitude.compare(VectorOperators.GT, 0x7c00));
            w.or(c.and(SIGN)).intoMemorySegment(to, toOffset + 4L * i, ByteOrder.LITTLE_ENDIAN);
        }
        for (; i < count; i++) {
            to.set(Bytes.FLOAT, toOffset + 4L * i, Float.float16ToFloat(from.get(Bytes.SHORT, fromOffset + 2L * i)));
        }
    }

    static void narrowBf16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, int count) {
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            IntVector u = IntVector.fromMemorySegment(INT, from, fromOffset + 4L * i, ByteOrder.LITTLE_ENDIAN);
            IntVector odd = u.lanewise(VectorOperators.LSHR, 16).and(1);
            IntVector h = u.add(0x7fff).add(odd);
            h = h.blend(u.or(QUIET), u.and(~SIGN).compare(VectorOperators.GT, INFINITY)).lanewise(VectorOperators.LSHR, 16);
            ((ShortVector) h.convertShape(VectorOperators.I2S, SHORT, 0)).intoMemorySegment(to, toOffset + 2L * i, ByteOrder.LITTLE_ENDIAN);
        }
        for (; i < count; i++) {
            to.set(Bytes.SHORT, toOffset + 2L * i, Half.floatToBf16(from.get(Bytes.FLOAT, fromOffset + 4L * i)));
        }
    }

    /** As the FP8 encoder; NaN keeps its sign and the upper bits of its payload. */
    static void narrowF16(MemorySegment from, long fromOffset, MemorySegment to, long toOffset, int count) {
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            IntVector u = IntVector.fromMemorySegment(INT, from, fromOffset + 4L * i, ByteOrder.LITTLE_ENDIAN);
            IntVector a = u.and(~SIGN);
            IntVector odd = a.lanewise(VectorOperators.LSHR, 13).and(1);
            IntVector c = a.add(0xfff).add(odd).lanewise(VectorOperators.LSHR, 13).sub(112 << 10);
            // 0.5 has 2^-24, F16's smallest subnormal, as its last place
            IntVector subnormal = a.reinterpretAsFloats().add(0.5f).reinterpretAsInts().sub(0x3f000000);
            c = c.blend(subnormal, a.compare(VectorOperators.LT, 113 << 23));
            c = c.min(0x7c00);
            IntVector nan = a.lanewise(VectorOperators.LSHR, 13).and(0x3ff).or(0x7e00);
            c = c.blend(nan, a.compare(VectorOperators.GT, INFINITY));
            c = c.or(u.lanewise(VectorOperators.LSHR, 16).and(0x8000));
            ((ShortVector) c.convertShape(VectorOperators.I2S, SHORT, 0)).intoMemorySegment(to, toOffset + 2L * i, ByteOrder.LITTLE_ENDIAN);
        }
        for (; i < count; i++) {
            to.set(Bytes.SHORT, toOffset + 2L * i, Float.floatToFloat16(from.get(Bytes.FLOAT, fromOffset + 4L * i)));
        }
    }
}
