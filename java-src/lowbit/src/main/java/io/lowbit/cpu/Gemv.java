package io.lowbit.cpu;

import static io.lowbit.cpu.Fields.F;
import static io.lowbit.cpu.Fields.I;
import static io.lowbit.cpu.Fields.LE;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * Products with one row of x, straight from the packed codes: two vectors of output rows at a time, from two panels or
 * two parts of one.
 *
 * <p>Codes become exact floats and are summed over a group; the group's scale multiplies the sum. Two vectors with two
 * sums each hide the latency of the multiply-add. Each method stays under some 100 vector operations: beyond that C2
 * stops inlining half way and every operation allocates.
 */
final class Gemv {
    private Gemv() {}

    /**
     * INT4. A nibble at bit 4j, masked and or-ed with the exponent of 2^(23−4j), is the float 2^(23−4j) + code; taking
     * 2^(23−4j) + zero off is exact, so the weight is the exact integer. One shift serves four nibbles.
     *
     * @param x padded as the panels are; an array, because reading a scalar from a segment takes C2 ten times the nodes
     * @param o0 byte offset of the first vector within a line
     * @param first group to start with, {@code last} the one to stop before
     * @param scales f32 lines of these groups, the first vector's from byte {@code s0} on
     * @param y sums so far, updated
     */
    static void int4(Panels w, int panel0, int o0, int panel1, int o1, int first, int last, MemorySegment scales, long s0, long s1, float[] x,
            float[] y, int y0, int y1) {
        MemorySegment codes = w.codes;
        MemorySegment zeros = w.zeros;
        long c0 = panel0 * w.panelBytes + o0;
        long c1 = panel1 * w.panelBytes + o1;
        long z0 = panel0 * w.zeroPanelBytes + o0;
        long z1 = panel1 * w.zeroPanelBytes + o1;
        int zeroLine = w.zeroLineBytes;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        FloatVector sum0 = FloatVector.fromArray(F, y, y0);
        FloatVector sum1 = FloatVector.fromArray(F, y, y1);
        for (int group = first; group < last; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            FloatVector zero0 = Fields.zero(zeros, z0 + (long) (group >>> 3) * zeroLine, (group & 7) << 2);
            FloatVector zero1 = Fields.zero(zeros, z1 + (long) (group >>> 3) * zeroLine, (group & 7) << 2);
            FloatVector z00 = zero0.add(8388608f);
            FloatVector z01 = zero0.add(524288f);
            FloatVector z02 = zero0.add(32768f);
            FloatVector z03 = zero0.add(2048f);
            FloatVector z10 = zero1.add(8388608f);
            FloatVector z11 = zero1.add(524288f);
            FloatVector z12 = zero1.add(32768f);
            FloatVector z13 = zero1.add(2048f);
            FloatVector p0 = FloatVector.zero(F);
            FloatVector p1 = FloatVector.zero(F);
            FloatVector q0 = FloatVector.zero(F);
            FloatVector q1 = FloatVector.zero(F);
            for (int block = from; block < to; block++) {
                long at = (long) block << 6;
                int xo = block << 3;
                IntVector u0 = IntVector.fromMemorySegment(I, codes, c0 + at, LE);
                IntVector u1 = IntVector.fromMemorySegment(I, codes, c1 + at, LE);
                for (int half = 0; half < 2; half++) {
                    FloatVector xj = FloatVector.broadcast(F, x[xo + 4 * half]);
                    p0 = u0.and(0xf).or(0x4b000000).reinterpretAsFloats().sub(z00).fma(xj, p0);
                    p1 = u1.and(0xf).or(0x4b000000).reinterpretAsFloats().sub(z10).fma(xj, p1);
                    xj = FloatVector.broadcast(F, x[xo + 4 * half + 1]);
                    q0 = u0.and(0xf0).or(0x49000000).reinterpretAsFloats().sub(z01).fma(xj, q0);
                    q1 = u1.and(0xf0).or(0x49000000).reinterpretAsFloats().sub(z11).fma(xj, q1);
                    xj = FloatVector.broadcast(F, x[xo + 4 * half + 2]);
                    p0 = u0.and(0xf00).or(0x47000000).reinterpretAsFloats().sub(z02).fma(xj, p0);
                    p1 = u1.and(0xf00).or(0x47000000).reinterpretAsFloats().sub(z12).fma(xj, p1);
                    xj = FloatVector.broadcast(F, x[xo + 4 * half + 3]);
                    q0 = u0.and(0xf000).or(0x45000000).reinterpretAsFloats().sub(z03).fma(xj, q0);
                    q1 = u1.and(0xf000).or(0x45000000).reinterpretAsFloats().sub(z13).fma(xj, q1);
                    u0 = u0.lanewise(LSHR, 16);
                    u1 = u1.lanewise(LSHR, 16);
                }
            }
            long line = (long) (group - first) << 6;
            sum0 = p0.add(q0).fma(FloatVector.fromMemorySegment(F, scales, s0 + line, LE), sum0);
            sum1 = p1.add(q1).fma(FloatVector.fromMemorySegment(F, scales, s1 + line, LE), sum1);
        }
        sum0.intoArray(y, y0);
        sum1.intoArray(y, y1);
    }

    /**
     * Scales of groups {@code first} to {@code last} as f32 lines, at byte {@code at} of {@code to}: kept apart from the
     * products, which need every vector operation that C2 grants a method.
     */
    static void scales(Panels w, int panel, int o, int first, int last, MemorySegment to, long at) {
        MemorySegment scales = w.scales;
        long s = panel * w.scalePanelBytes + o;
        int bits = w.scale.bits;
        int wordShift = w.scaleWordShift;
        int shift = w.scale.shift;
        int mask = w.scale.mask;
        int floor = w.scale.floor;
        float factor = w.scale.factor;
        float matrix = w.matrixScale;
        for (int group = first; group < last; group++) {
            int up = 32 - bits * ((group & ((1 << wordShift) - 1)) + 1);
            Fields.scale(scales, s + ((long) (group >>> wordShift) << 6), up, shift, mask, floor, factor, matrix)
                    .intoMemorySegment(to, at + ((long) (group - first) << 6), LE);
        }
    }

    /** 4-bit codes through a table of 16 floats: NF4, FP4, MXFP4, NVFP4. Parameters as in {@link #int4}. */
    static void lut4(Panels w, int panel0, int o0, int panel1, int o1, int first, int last, MemorySegment scales, long s0, long s1, float[] x,
            float[] y, int y0, int y1) {
        MemorySegment codes = w.codes;
        long c0 = panel0 * w.panelBytes + o0;
        long c1 = panel1 * w.panelBytes + o1;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        IntVector t0 = Fields.table(w.table, 0);
        IntVector t1 = Fields.table(w.table, 1);
        IntVector t2 = Fields.table(w.table, 2);
        IntVector t3 = Fields.table(w.table, 3);
        FloatVector sum0 = FloatVector.fromArray(F, y, y0);
        FloatVector sum1 = FloatVector.fromArray(F, y, y1);
        for (int group = first; group < last; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            FloatVector p0 = FloatVector.zero(F);
            FloatVector p1 = FloatVector.zero(F);
            FloatVector q0 = FloatVector.zero(F);
            FloatVector q1 = FloatVector.zero(F);
            for (int block = from; block < to; block++) {
                long at = (long) block << 6;
                int xo = block << 3;
                IntVector u0 = IntVector.fromMemorySegment(I, codes, c0 + at, LE);
                IntVector u1 = IntVector.fromMemorySegment(I, codes, c1 + at, LE);
                for (int pair = 0; pair < 4; pair++) {
                    FloatVector xj = FloatVector.broadcast(F, x[xo + 2 * pair]);
                    p0 = Fields.look(u0, t0, t1, t2, t3).fma(xj, p0);
                    p1 = Fields.look(u1, t0, t1, t2, t3).fma(xj, p1);
                    xj = FloatVector.broadcast(F, x[xo + 2 * pair + 1]);
                    q0 = Fields.look(u0.lanewise(LSHR, 4), t0, t1, t2, t3).fma(xj, q0);
                    q1 = Fields.look(u1.lanewise(LSHR, 4), t0, t1, t2, t3).fma(xj, q1);
                    u0 = u0.lanewise(LSHR, 8);
                    u1 = u1.lanewise(LSHR, 8);
                }
            }
            long line = (long) (group - first) << 6;
            sum0 = p0.add(q0).fma(FloatVector.fromMemorySegment(F, scales, s0 + line, LE), sum0);
            sum1 = p1.add(q1).fma(FloatVector.fromMemorySegment(F, scales, s1 + line, LE), sum1);
        }
        sum0.intoArray(y, y0);
        sum1.intoArray(y, y1);
    }

    /** 8-bit floats with f32 scales. Parameters as in {@link #int4}. */
    static void float8(Panels w, int panel0, int o0, int panel1, int o1, int first, int last, MemorySegment scales, long s0, long s1, float[] x,
            float[] y, int y0, int y1) {
        MemorySegment codes = w.codes;
        long c0 = panel0 * w.panelBytes + o0;
        long c1 = panel1 * w.panelBytes + o1;
        int shift = w.code.shift;
        int mask = w.code.mask;
        float factor = w.code.factor;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        FloatVector sum0 = FloatVector.fromArray(F, y, y0);
        FloatVector sum1 = FloatVector.fromArray(F, y, y1);
        for (int group = first; group < last; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            FloatVector p0 = FloatVector.zero(F);
            FloatVector p1 = FloatVector.zero(F);
            FloatVector q0 = FloatVector.zero(F);
            FloatVector q1 = FloatVector.zero(F);
            for (int block = from; block < to; block++) {
                long at = (long) block << 6;
                int xo = block << 2;
                IntVector u0 = IntVector.fromMemorySegment(I, codes, c0 + at, LE);
                IntVector u1 = IntVector.fromMemorySegment(I, codes, c1 + at, LE);
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
            long line = (long) (group - first) << 6;
            sum0 = p0.add(q0).fma(FloatVector.fromMemorySegment(F, scales, s0 + line, LE), sum0);
            sum1 = p1.add(q1).fma(FloatVector.fromMemorySegment(F, scales, s1 + line, LE), sum1);
        }
        sum0.intoArray(y, y0);
        sum1.intoArray(y, y1);
    }

    /** F16 and BF16 weights. Parameters as in {@link #int4}. */
    static void float16(Panels w, int panel0, int o0, int panel1, int o1, float[] x, float[] y, int y0, int y1) {
        MemorySegment codes = w.codes;
        long c0 = panel0 * w.panelBytes + o0;
        long c1 = panel1 * w.panelBytes + o1;
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
            IntVector u0 = IntVector.fromMemorySegment(I, codes, c0 + at, LE);
            IntVector u1 = IntVector.fromMemorySegment(I, codes, c1 + at, LE);
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
        MemorySegment codes = w.codes;
        long c0 = panel0 * w.panelBytes + o0;
        long c1 = panel1 * w.panelBytes + o1;
        int blocks = w.blocks;
        FloatVector p0 = FloatVector.zero(F);
        FloatVector p1 = FloatVector.zero(F);
        for (int block = 0; block < blocks; block++) {
            long at = (long) block << 6;
            FloatVector xj = FloatVector.broadcast(F, x[block]);
            p0 = FloatVector.fromMemorySegment(F, codes, c0 + at, LE).fma(xj, p0);
            p1 = FloatVector.fromMemorySegment(F, codes, c1 + at, LE).fma(xj, p1);
        }
        p0.intoArray(y, y0);
        p1.intoArray(y, y1);
    }
}
