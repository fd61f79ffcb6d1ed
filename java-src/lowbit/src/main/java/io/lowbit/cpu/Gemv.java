package io.lowbit.cpu;

import static io.lowbit.cpu.Fields.F;
import static io.lowbit.cpu.Fields.I;
import static io.lowbit.cpu.Fields.LE;
import static io.lowbit.cpu.Memory.ALL;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;

import io.lowbit.simd.Species;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;

/**
 * Products with one row of x, straight from the packed codes: two vectors of output rows at a time, from two panels or
 * two parts of one.
 *
 * <p>Codes become exact floats and are summed over a group; the group's scale multiplies the sum. Two vectors with two
 * sums each hide the latency of the multiply-add. Each method stays under some 100 vector operations: beyond that C2
 * stops inlining half way and every operation allocates.
 */
final class Gemv {
    /**
     * Masks of four nibbles, the exponents of 2^(23−4j), the upper half of a word. They come from an array because C2 must not know them: constants
     * that it knows it does not keep in registers but loads before each use, and the loads become the limit.
     */
    static final int[] CONSTANTS = {0xf, 0xf0, 0x4b000000, 0x49000000, 0xffff0000};

    private Gemv() {}

    /**
     * INT4. A nibble at bit 4j, masked and or-ed with the exponent of 2^(23−4j), is the float 2^(23−4j) + code; taking
     * 2^(23−4j) + zero off is exact, so the weight is the exact integer. One shift serves four nibbles.
     *
     * @param x padded as the panels are; an array, because reading a scalar from a segment takes C2 ten times the nodes
     * @param s0 address of the first vector's scales and zero points ({@link #expand}), {@code s1} of the second's
     * @param o0 byte offset of the first vector within a line
     * @param y receives the first vector's sums from {@code y0} on, the second's from {@code y1}
     */
    static void int4(Panels w, int panel0, int o0, int panel1, int o1, long s0, long s1, float[] x, float[] y, int y0, int y1) {
        long c0 = w.codesAt + panel0 * w.panelBytes + o0;
        long c1 = w.codesAt + panel1 * w.panelBytes + o1;
        int groups = w.groups;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        IntVector m0 = IntVector.broadcast(I, CONSTANTS[0]);
        IntVector m1 = IntVector.broadcast(I, CONSTANTS[1]);
        IntVector e0 = IntVector.broadcast(I, CONSTANTS[2]);
        IntVector e1 = IntVector.broadcast(I, CONSTANTS[3]);
        FloatVector sum0 = FloatVector.zero(F);
        FloatVector sum1 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            long line = (long) group << 7;
            FloatVector z00 = FloatVector.fromMemorySegment(F, ALL, s0 + line + 64, LE);
            FloatVector z10 = FloatVector.fromMemorySegment(F, ALL, s1 + line + 64, LE);
            // From 2^23 + zero to 2^19 + zero.
            FloatVector z01 = z00.sub(7864320f);
            FloatVector z11 = z10.sub(7864320f);
            FloatVector p0 = FloatVector.zero(F);
            FloatVector p1 = FloatVector.zero(F);
            FloatVector q0 = FloatVector.zero(F);
            FloatVector q1 = FloatVector.zero(F);
            for (int block = from; block < to; block++) {
                long at = (long) block << 6;
                int xo = block << 3;
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, c0 + at, LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, c1 + at, LE);
                for (int pair = 0; pair < 4; pair++) {
                    FloatVector xj = FloatVector.broadcast(F, x[xo + 2 * pair]);
                    p0 = u0.and(m0).or(e0).reinterpretAsFloats().sub(z00).fma(xj, p0);
                    p1 = u1.and(m0).or(e0).reinterpretAsFloats().sub(z10).fma(xj, p1);
                    xj = FloatVector.broadcast(F, x[xo + 2 * pair + 1]);
                    q0 = u0.and(m1).or(e1).reinterpretAsFloats().sub(z01).fma(xj, q0);
                    q1 = u1.and(m1).or(e1).reinterpretAsFloats().sub(z11).fma(xj, q1);
                    u0 = u0.lanewise(LSHR, 8);
                    u1 = u1.lanewise(LSHR, 8);
                }
            }
            sum0 = p0.add(q0).fma(FloatVector.fromMemorySegment(F, ALL, s0 + line, LE), sum0);
            sum1 = p1.add(q1).fma(FloatVector.fromMemorySegment(F, ALL, s1 + line, LE), sum1);
        }
        sum0.intoArray(y, y0);
        sum1.intoArray(y, y1);
    }

    /**
     * Scales and zero points of a panel's groups for {@link #int4}: a line of f32 scales and one of 2^23 + zero for each group, from
     * address {@code to} on. Kept apart from the products, which need every vector operation that C2 grants a method.
     */
    static void expand(Panels w, int panel, int o, long to) {
        long s = w.scalesAt + panel * w.scalePanelBytes + o;
        long z = w.zerosAt + panel * w.zeroPanelBytes + o;
        int zeroLine = w.zeroLineBytes;
        int bits = w.scale.bits;
        int word = w.scaleWordShift;
        int shift = w.scale.shift;
        IntVector mask = IntVector.broadcast(I, w.scale.mask);
        FloatVector factor = FloatVector.broadcast(F, w.scaleFactor);
        IntVector nibble = IntVector.broadcast(I, CONSTANTS[0]);
        IntVector magic = IntVector.broadcast(I, CONSTANTS[2]);
        for (int group = 0; group < w.groups; group++) {
            long line = to + ((long) group << 7);
            Fields.scale(s + ((long) (group >>> word) << 6), Fields.up(group, word, bits), shift, mask, factor).intoMemorySegment(ALL, line, LE);
            Fields.zero(z + (long) (group >>> 3) * zeroLine, (group & 7) << 2, nibble, magic).intoMemorySegment(ALL, line + 64, LE);
        }
    }

    /** 4-bit codes through a table of 16 floats: NF4, FP4, MXFP4, NVFP4. Parameters as in {@link #int4}. */
    static void lut4(Panels w, int panel0, int o0, int panel1, int o1, float[] x, float[] y, int y0, int y1) {
        long c0 = w.codesAt + panel0 * w.panelBytes + o0;
        long c1 = w.codesAt + panel1 * w.panelBytes + o1;
        long s0 = w.scalesAt + panel0 * w.scalePanelBytes + o0;
        long s1 = w.scalesAt + panel1 * w.scalePanelBytes + o1;
        int bits = w.scale.bits;
        int word = w.scaleWordShift;
        int scaleShift = w.scale.shift;
        IntVector scaleMask = IntVector.broadcast(I, w.scale.mask);
        FloatVector scaleFactor = FloatVector.broadcast(F, w.scaleFactor);
        int groups = w.groups;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        IntVector t0 = Fields.table(w.table, 0);
        IntVector t1 = Fields.table(w.table, 1);
        IntVector t2 = Fields.table(w.table, 2);
        IntVector t3 = Fields.table(w.table, 3);
        FloatVector sum0 = FloatVector.zero(F);
        FloatVector sum1 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            FloatVector p0 = FloatVector.zero(F);
            FloatVector p1 = FloatVector.zero(F);
            for (int block = from; block < to; block++) {
                long at = (long) block << 6;
                int xo = block << 3;
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, c0 + at, LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, c1 + at, LE);
                for (int j = 0; j < 8; j++) {
                    FloatVector xj = FloatVector.broadcast(F, x[xo + j]);
                    p0 = Fields.look(u0, t0, t1, t2, t3).fma(xj, p0);
                    p1 = Fields.look(u1, t0, t1, t2, t3).fma(xj, p1);
                    u0 = u0.lanewise(LSHR, 4);
                    u1 = u1.lanewise(LSHR, 4);
                }
            }
            long line = (long) (group >>> word) << 6;
            int up = Fields.up(group, word, bits);
            sum0 = p0.fma(Fields.scale(s0 + line, up, scaleShift, scaleMask, scaleFactor), sum0);
            sum1 = p1.fma(Fields.scale(s1 + line, up, scaleShift, scaleMask, scaleFactor), sum1);
        }
        sum0.intoArray(y, y0);
        sum1.intoArray(y, y1);
    }

    /**
     * 4-bit codes whose 16 values are bfloat16 numbers (E2M1, symmetric INT4), at 512 bits: one look-up in a table of 16-bit values
     * serves columns j and j + 4, whose nibbles lie 16 bits apart. Parameters as in {@link #int4}.
     */
    static void pair4(Panels w, int panel0, int panel1, float[] x, float[] y, int y0, int y1) {
        long c0 = w.codesAt + panel0 * w.panelBytes;
        long c1 = w.codesAt + panel1 * w.panelBytes;
        long s0 = w.scalesAt + panel0 * w.scalePanelBytes;
        long s1 = w.scalesAt + panel1 * w.scalePanelBytes;
        int bits = w.scale.bits;
        int word = w.scaleWordShift;
        int scaleShift = w.scale.shift;
        IntVector scaleMask = IntVector.broadcast(I, w.scale.mask);
        FloatVector scaleFactor = FloatVector.broadcast(F, w.scaleFactor);
        int groups = w.groups;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        ShortVector table = ShortVector.fromArray(Species.SHORT, w.halves, 0);
        IntVector high = IntVector.broadcast(I, CONSTANTS[4]);
        FloatVector sum0 = FloatVector.zero(F);
        FloatVector sum1 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            FloatVector p0 = FloatVector.zero(F);
            FloatVector p1 = FloatVector.zero(F);
            FloatVector q0 = FloatVector.zero(F);
            FloatVector q1 = FloatVector.zero(F);
            for (int block = from; block < to; block++) {
                long at = (long) block << 6;
                int xo = block << 3;
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, c0 + at, LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, c1 + at, LE);
                for (int j = 0; j < 4; j++) {
                    IntVector v0 = u0.lanewise(LSHR, 4 * j).reinterpretAsShorts().selectFrom(table).reinterpretAsInts();
                    IntVector v1 = u1.lanewise(LSHR, 4 * j).reinterpretAsShorts().selectFrom(table).reinterpretAsInts();
                    FloatVector xj = FloatVector.broadcast(F, x[xo + j]);
                    p0 = v0.lanewise(LSHL, 16).reinterpretAsFloats().fma(xj, p0);
                    p1 = v1.lanewise(LSHL, 16).reinterpretAsFloats().fma(xj, p1);
                    xj = FloatVector.broadcast(F, x[xo + j + 4]);
                    q0 = v0.and(high).reinterpretAsFloats().fma(xj, q0);
                    q1 = v1.and(high).reinterpretAsFloats().fma(xj, q1);
                }
            }
            long line = (long) (group >>> word) << 6;
            int up = Fields.up(group, word, bits);
            sum0 = p0.add(q0).fma(Fields.scale(s0 + line, up, scaleShift, scaleMask, scaleFactor), sum0);
            sum1 = p1.add(q1).fma(Fields.scale(s1 + line, up, scaleShift, scaleMask, scaleFactor), sum1);
        }
        sum0.intoArray(y, y0);
        sum1.intoArray(y, y1);
    }

    /** 8-bit floats; their scales are stored as f32. Parameters as in {@link #int4}. */
    static void float8(Panels w, int panel0, int o0, int panel1, int o1, float[] x, float[] y, int y0, int y1) {
        long c0 = w.codesAt + panel0 * w.panelBytes + o0;
        long c1 = w.codesAt + panel1 * w.panelBytes + o1;
        IntVector shift = IntVector.broadcast(I, w.code.shift);
        IntVector mask = IntVector.broadcast(I, w.code.mask);
        FloatVector factor = FloatVector.broadcast(F, w.code.factor);
        long s0 = w.scalesAt + panel0 * w.scalePanelBytes + o0;
        long s1 = w.scalesAt + panel1 * w.scalePanelBytes + o1;
        int groups = w.groups;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        FloatVector sum0 = FloatVector.zero(F);
        FloatVector sum1 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            FloatVector p0 = FloatVector.zero(F);
            FloatVector p1 = FloatVector.zero(F);
            FloatVector q0 = FloatVector.zero(F);
            FloatVector q1 = FloatVector.zero(F);
            for (int block = from; block < to; block++) {
                long at = (long) block << 6;
                int xo = block << 2;
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, c0 + at, LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, c1 + at, LE);
                for (int pair = 1; pair >= 0; pair--) {
                    FloatVector xj = FloatVector.broadcast(F, x[xo + 2 * pair + 1]);
                    q0 = Fields.top(u0, shift, mask, factor).fma(xj, q0);
                    q1 = Fields.top(u1, shift, mask, factor).fma(xj, q1);
                    xj = FloatVector.broadcast(F, x[xo + 2 * pair]);
                    p0 = Fields.top(u0.lanewise(LSHL, 8), shift, mask, factor).fma(xj, p0);
                    p1 = Fields.top(u1.lanewise(LSHL, 8), shift, mask, factor).fma(xj, p1);
                    u0 = u0.lanewise(LSHL, 16);
                    u1 = u1.lanewise(LSHL, 16);
                }
            }
            long line = (long) group << 6;
            sum0 = p0.add(q0).fma(FloatVector.fromMemorySegment(F, ALL, s0 + line, LE), sum0);
            sum1 = p1.add(q1).fma(FloatVector.fromMemorySegment(F, ALL, s1 + line, LE), sum1);
        }
        sum0.intoArray(y, y0);
        sum1.intoArray(y, y1);
    }

    /** F16 and BF16 weights. Parameters as in {@link #int4}. */
    static void float16(Panels w, int panel0, int o0, int panel1, int o1, float[] x, float[] y, int y0, int y1) {
        long c0 = w.codesAt + panel0 * w.panelBytes + o0;
        long c1 = w.codesAt + panel1 * w.panelBytes + o1;
        int shift = w.code.shift;
        int mask = w.code.mask;
        float factor = w.code.factor;
        int blocks = w.blocks;
        FloatVector p0 = FloatVector.zero(F);
        FloatVector p1 = FloatVector.zero(F);
        FloatVector q0 = FloatVector.zero(F);
        FloatVector q1 = FloatVector.zero(F);
        for (int block = 0; block < blocks; block++) {
            long at = (long) block << 6;
            int xo = block << 1;
            IntVector u0 = IntVector.fromMemorySegment(I, ALL, c0 + at, LE);
            IntVector u1 = IntVector.fromMemorySegment(I, ALL, c1 + at, LE);
            FloatVector xj = FloatVector.broadcast(F, x[xo]);
            p0 = Fields.top(u0.lanewise(LSHL, 16), shift, mask, factor).fma(xj, p0);
            p1 = Fields.top(u1.lanewise(LSHL, 16), shift, mask, factor).fma(xj, p1);
            xj = FloatVector.broadcast(F, x[xo + 1]);
            q0 = Fields.top(u0, shift, mask, factor).fma(xj, q0);
            q1 = Fields.top(u1, shift, mask, factor).fma(xj, q1);
        }
        p0.add(q0).intoArray(y, y0);
        p1.add(q1).intoArray(y, y1);
    }

    /** F32 weights. Parameters as in {@link #int4}. */
    static void float32(Panels w, int panel0, int o0, int panel1, int o1, float[] x, float[] y, int y0, int y1) {
        long c0 = w.codesAt + panel0 * w.panelBytes + o0;
        long c1 = w.codesAt + panel1 * w.panelBytes + o1;
        int blocks = w.blocks;
        FloatVector p0 = FloatVector.zero(F);
        FloatVector p1 = FloatVector.zero(F);
        for (int block = 0; block < blocks; block++) {
            long at = (long) block << 6;
            FloatVector xj = FloatVector.broadcast(F, x[block]);
            p0 = FloatVector.fromMemorySegment(F, ALL, c0 + at, LE).fma(xj, p0);
            p1 = FloatVector.fromMemorySegment(F, ALL, c1 + at, LE).fma(xj, p1);
        }
        p0.intoArray(y, y0);
        p1.intoArray(y, y1);
    }
}
