package io.lowbit.cpu;

import static io.lowbit.cpu.Fields.F;
import static io.lowbit.cpu.Fields.I;
import static io.lowbit.cpu.Fields.LE;
import static io.lowbit.cpu.Memory.ALL;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * Products with 2 to 8 rows of x, straight from the packed codes: two vectors of output rows at a time, from two distant
 * panels.
 *
 * <p>A weight is decoded in registers, its scale folded in, and multiplied with 4 or 8 rows at once. Decoding runs on units that the
 * multiply-adds leave idle, and memory is read all the time: through a decoded tile in the cache ({@link Decode}, {@link Tile4}) both
 * would take turns. Up to 16 sums, two weights and what decoding needs fill 32 registers, so this is for 512 bits.
 */
final class Direct {
    private Direct() {}

    /**
     * Products with two panels.
     *
     * @param rows 4 or 8: rows of x as packed; fewer real ones are padded with zeros
     * @param s0 address of the first panel's scales and zero points, {@code s1} of the second's: {@link Gemv#expand}; for INT4 only
     * @param x packed [k][rows]
     * @param c receives the sums: row r of the first panel from element {@code c0 + 16·r} on, of the second from {@code c1 + 16·r}
     */
    static void multiply(int rows, Panels w, int panel0, int panel1, long s0, long s1, float[] x, float[] c, int c0, int c1) {
        switch (w.kind) {
            case INT4 -> {
                if (rows == 4) {
                    int4x4(w, panel0, panel1, s0, s1, x, c, c0, c1);
                } else {
                    int4x8(w, panel0, panel1, s0, s1, x, c, c0, c1);
                }
            }
            case LUT4 -> {
                if (rows == 4) {
                    lut4x4(w, panel0, panel1, x, c, c0, c1);
                } else {
                    lut4x8(w, panel0, panel1, x, c, c0, c1);
                }
            }
            case FLOAT8 -> {
                if (rows == 4) {
                    float8x4(w, panel0, panel1, x, c, c0, c1);
                } else {
                    float8x8(w, panel0, panel1, x, c, c0, c1);
                }
            }
            default -> throw new IllegalArgumentException(w.kind + ": expected INT4, LUT4 or FLOAT8");
        }
    }

    private static void int4x4(Panels w, int panel0, int panel1, long s0, long s1, float[] x, float[] c, int c0, int c1) {
        long at0 = w.codesAt + panel0 * w.panelBytes;
        long at1 = w.codesAt + panel1 * w.panelBytes;
        int groups = w.groups;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        IntVector nibble = IntVector.broadcast(I, Gemv.CONSTANTS[0]);
        IntVector magic = IntVector.broadcast(I, Gemv.CONSTANTS[2]);
        FloatVector a0 = FloatVector.zero(F);
        FloatVector b0 = FloatVector.zero(F);
        FloatVector a1 = FloatVector.zero(F);
        FloatVector b1 = FloatVector.zero(F);
        FloatVector a2 = FloatVector.zero(F);
        FloatVector b2 = FloatVector.zero(F);
        FloatVector a3 = FloatVector.zero(F);
        FloatVector b3 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            long line = (long) group << 7;
            FloatVector f0 = FloatVector.fromMemorySegment(F, ALL, s0 + line, LE);
            FloatVector f1 = FloatVector.fromMemorySegment(F, ALL, s1 + line, LE);
            FloatVector m0 = FloatVector.fromMemorySegment(F, ALL, s0 + line + 64, LE);
            FloatVector m1 = FloatVector.fromMemorySegment(F, ALL, s1 + line + 64, LE);
            for (int block = from; block < to; block++) {
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, at0 + ((long) block << 6), LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, at1 + ((long) block << 6), LE);
                int xi = block << 5;
                for (int j = 0; j < 8; j++) {
                    FloatVector w0 = u0.and(nibble).or(magic).reinterpretAsFloats().sub(m0).mul(f0);
                    FloatVector w1 = u1.and(nibble).or(magic).reinterpretAsFloats().sub(m1).mul(f1);
                    u0 = u0.lanewise(LSHR, 4);
                    u1 = u1.lanewise(LSHR, 4);
                    FloatVector v = FloatVector.broadcast(F, x[xi]);
                    a0 = w0.fma(v, a0);
                    b0 = w1.fma(v, b0);
                    v = FloatVector.broadcast(F, x[xi + 1]);
                    a1 = w0.fma(v, a1);
                    b1 = w1.fma(v, b1);
                    v = FloatVector.broadcast(F, x[xi + 2]);
                    a2 = w0.fma(v, a2);
                    b2 = w1.fma(v, b2);
                    v = FloatVector.broadcast(F, x[xi + 3]);
                    a3 = w0.fma(v, a3);
                    b3 = w1.fma(v, b3);
                    xi += 4;
                }
            }
        }
        a0.intoArray(c, c0);
        b0.intoArray(c, c1);
        a1.intoArray(c, c0 + 16);
        b1.intoArray(c, c1 + 16);
        a2.intoArray(c, c0 + 32);
        b2.intoArray(c, c1 + 32);
        a3.intoArray(c, c0 + 48);
        b3.intoArray(c, c1 + 48);
    }

    private static void int4x8(Panels w, int panel0, int panel1, long s0, long s1, float[] x, float[] c, int c0, int c1) {
        long at0 = w.codesAt + panel0 * w.panelBytes;
        long at1 = w.codesAt + panel1 * w.panelBytes;
        int groups = w.groups;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        IntVector nibble = IntVector.broadcast(I, Gemv.CONSTANTS[0]);
        IntVector magic = IntVector.broadcast(I, Gemv.CONSTANTS[2]);
        FloatVector a0 = FloatVector.zero(F);
        FloatVector b0 = FloatVector.zero(F);
        FloatVector a1 = FloatVector.zero(F);
        FloatVector b1 = FloatVector.zero(F);
        FloatVector a2 = FloatVector.zero(F);
        FloatVector b2 = FloatVector.zero(F);
        FloatVector a3 = FloatVector.zero(F);
        FloatVector b3 = FloatVector.zero(F);
        FloatVector a4 = FloatVector.zero(F);
        FloatVector b4 = FloatVector.zero(F);
        FloatVector a5 = FloatVector.zero(F);
        FloatVector b5 = FloatVector.zero(F);
        FloatVector a6 = FloatVector.zero(F);
        FloatVector b6 = FloatVector.zero(F);
        FloatVector a7 = FloatVector.zero(F);
        FloatVector b7 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            long line = (long) group << 7;
            FloatVector f0 = FloatVector.fromMemorySegment(F, ALL, s0 + line, LE);
            FloatVector f1 = FloatVector.fromMemorySegment(F, ALL, s1 + line, LE);
            FloatVector m0 = FloatVector.fromMemorySegment(F, ALL, s0 + line + 64, LE);
            FloatVector m1 = FloatVector.fromMemorySegment(F, ALL, s1 + line + 64, LE);
            for (int block = from; block < to; block++) {
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, at0 + ((long) block << 6), LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, at1 + ((long) block << 6), LE);
                int xi = block << 6;
                for (int j = 0; j < 8; j++) {
                    FloatVector w0 = u0.and(nibble).or(magic).reinterpretAsFloats().sub(m0).mul(f0);
                    FloatVector w1 = u1.and(nibble).or(magic).reinterpretAsFloats().sub(m1).mul(f1);
                    u0 = u0.lanewise(LSHR, 4);
                    u1 = u1.lanewise(LSHR, 4);
                    FloatVector v = FloatVector.broadcast(F, x[xi]);
                    a0 = w0.fma(v, a0);
                    b0 = w1.fma(v, b0);
                    v = FloatVector.broadcast(F, x[xi + 1]);
                    a1 = w0.fma(v, a1);
                    b1 = w1.fma(v, b1);
                    v = FloatVector.broadcast(F, x[xi + 2]);
                    a2 = w0.fma(v, a2);
                    b2 = w1.fma(v, b2);
                    v = FloatVector.broadcast(F, x[xi + 3]);
                    a3 = w0.fma(v, a3);
                    b3 = w1.fma(v, b3);
                    v = FloatVector.broadcast(F, x[xi + 4]);
                    a4 = w0.fma(v, a4);
                    b4 = w1.fma(v, b4);
                    v = FloatVector.broadcast(F, x[xi + 5]);
                    a5 = w0.fma(v, a5);
                    b5 = w1.fma(v, b5);
                    v = FloatVector.broadcast(F, x[xi + 6]);
                    a6 = w0.fma(v, a6);
                    b6 = w1.fma(v, b6);
                    v = FloatVector.broadcast(F, x[xi + 7]);
                    a7 = w0.fma(v, a7);
                    b7 = w1.fma(v, b7);
                    xi += 8;
                }
            }
        }
        a0.intoArray(c, c0);
        b0.intoArray(c, c1);
        a1.intoArray(c, c0 + 16);
        b1.intoArray(c, c1 + 16);
        a2.intoArray(c, c0 + 32);
        b2.intoArray(c, c1 + 32);
        a3.intoArray(c, c0 + 48);
        b3.intoArray(c, c1 + 48);
        a4.intoArray(c, c0 + 64);
        b4.intoArray(c, c1 + 64);
        a5.intoArray(c, c0 + 80);
        b5.intoArray(c, c1 + 80);
        a6.intoArray(c, c0 + 96);
        b6.intoArray(c, c1 + 96);
        a7.intoArray(c, c0 + 112);
        b7.intoArray(c, c1 + 112);
    }

    private static void lut4x4(Panels w, int panel0, int panel1, float[] x, float[] c, int c0, int c1) {
        long at0 = w.codesAt + panel0 * w.panelBytes;
        long at1 = w.codesAt + panel1 * w.panelBytes;
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
        IntVector table = Fields.table(w.table, 0);
        FloatVector a0 = FloatVector.zero(F);
        FloatVector b0 = FloatVector.zero(F);
        FloatVector a1 = FloatVector.zero(F);
        FloatVector b1 = FloatVector.zero(F);
        FloatVector a2 = FloatVector.zero(F);
        FloatVector b2 = FloatVector.zero(F);
        FloatVector a3 = FloatVector.zero(F);
        FloatVector b3 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            long line = (long) (group >>> word) << 6;
            int up = Fields.up(group, word, bits);
            FloatVector f0 = Fields.scale(s0 + line, up, scaleShift, scaleMask, scaleFactor);
            FloatVector f1 = Fields.scale(s1 + line, up, scaleShift, scaleMask, scaleFactor);
            for (int block = from; block < to; block++) {
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, at0 + ((long) block << 6), LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, at1 + ((long) block << 6), LE);
                int xi = block << 5;
                for (int j = 0; j < 8; j++) {
                    FloatVector w0 = u0.selectFrom(table).reinterpretAsFloats().mul(f0);
                    FloatVector w1 = u1.selectFrom(table).reinterpretAsFloats().mul(f1);
                    u0 = u0.lanewise(LSHR, 4);
                    u1 = u1.lanewise(LSHR, 4);
                    FloatVector v = FloatVector.broadcast(F, x[xi]);
                    a0 = w0.fma(v, a0);
                    b0 = w1.fma(v, b0);
                    v = FloatVector.broadcast(F, x[xi + 1]);
                    a1 = w0.fma(v, a1);
                    b1 = w1.fma(v, b1);
                    v = FloatVector.broadcast(F, x[xi + 2]);
                    a2 = w0.fma(v, a2);
                    b2 = w1.fma(v, b2);
                    v = FloatVector.broadcast(F, x[xi + 3]);
                    a3 = w0.fma(v, a3);
                    b3 = w1.fma(v, b3);
                    xi += 4;
                }
            }
        }
        a0.intoArray(c, c0);
        b0.intoArray(c, c1);
        a1.intoArray(c, c0 + 16);
        b1.intoArray(c, c1 + 16);
        a2.intoArray(c, c0 + 32);
        b2.intoArray(c, c1 + 32);
        a3.intoArray(c, c0 + 48);
        b3.intoArray(c, c1 + 48);
    }

    private static void lut4x8(Panels w, int panel0, int panel1, float[] x, float[] c, int c0, int c1) {
        long at0 = w.codesAt + panel0 * w.panelBytes;
        long at1 = w.codesAt + panel1 * w.panelBytes;
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
        IntVector table = Fields.table(w.table, 0);
        FloatVector a0 = FloatVector.zero(F);
        FloatVector b0 = FloatVector.zero(F);
        FloatVector a1 = FloatVector.zero(F);
        FloatVector b1 = FloatVector.zero(F);
        FloatVector a2 = FloatVector.zero(F);
        FloatVector b2 = FloatVector.zero(F);
        FloatVector a3 = FloatVector.zero(F);
        FloatVector b3 = FloatVector.zero(F);
        FloatVector a4 = FloatVector.zero(F);
        FloatVector b4 = FloatVector.zero(F);
        FloatVector a5 = FloatVector.zero(F);
        FloatVector b5 = FloatVector.zero(F);
        FloatVector a6 = FloatVector.zero(F);
        FloatVector b6 = FloatVector.zero(F);
        FloatVector a7 = FloatVector.zero(F);
        FloatVector b7 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            long line = (long) (group >>> word) << 6;
            int up = Fields.up(group, word, bits);
            FloatVector f0 = Fields.scale(s0 + line, up, scaleShift, scaleMask, scaleFactor);
            FloatVector f1 = Fields.scale(s1 + line, up, scaleShift, scaleMask, scaleFactor);
            for (int block = from; block < to; block++) {
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, at0 + ((long) block << 6), LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, at1 + ((long) block << 6), LE);
                int xi = block << 6;
                for (int j = 0; j < 8; j++) {
                    FloatVector w0 = u0.selectFrom(table).reinterpretAsFloats().mul(f0);
                    FloatVector w1 = u1.selectFrom(table).reinterpretAsFloats().mul(f1);
                    u0 = u0.lanewise(LSHR, 4);
                    u1 = u1.lanewise(LSHR, 4);
                    FloatVector v = FloatVector.broadcast(F, x[xi]);
                    a0 = w0.fma(v, a0);
                    b0 = w1.fma(v, b0);
                    v = FloatVector.broadcast(F, x[xi + 1]);
                    a1 = w0.fma(v, a1);
                    b1 = w1.fma(v, b1);
                    v = FloatVector.broadcast(F, x[xi + 2]);
                    a2 = w0.fma(v, a2);
                    b2 = w1.fma(v, b2);
                    v = FloatVector.broadcast(F, x[xi + 3]);
                    a3 = w0.fma(v, a3);
                    b3 = w1.fma(v, b3);
                    v = FloatVector.broadcast(F, x[xi + 4]);
                    a4 = w0.fma(v, a4);
                    b4 = w1.fma(v, b4);
                    v = FloatVector.broadcast(F, x[xi + 5]);
                    a5 = w0.fma(v, a5);
                    b5 = w1.fma(v, b5);
                    v = FloatVector.broadcast(F, x[xi + 6]);
                    a6 = w0.fma(v, a6);
                    b6 = w1.fma(v, b6);
                    v = FloatVector.broadcast(F, x[xi + 7]);
                    a7 = w0.fma(v, a7);
                    b7 = w1.fma(v, b7);
                    xi += 8;
                }
            }
        }
        a0.intoArray(c, c0);
        b0.intoArray(c, c1);
        a1.intoArray(c, c0 + 16);
        b1.intoArray(c, c1 + 16);
        a2.intoArray(c, c0 + 32);
        b2.intoArray(c, c1 + 32);
        a3.intoArray(c, c0 + 48);
        b3.intoArray(c, c1 + 48);
        a4.intoArray(c, c0 + 64);
        b4.intoArray(c, c1 + 64);
        a5.intoArray(c, c0 + 80);
        b5.intoArray(c, c1 + 80);
        a6.intoArray(c, c0 + 96);
        b6.intoArray(c, c1 + 96);
        a7.intoArray(c, c0 + 112);
        b7.intoArray(c, c1 + 112);
    }

    private static void float8x4(Panels w, int panel0, int panel1, float[] x, float[] c, int c0, int c1) {
        long at0 = w.codesAt + panel0 * w.panelBytes;
        long at1 = w.codesAt + panel1 * w.panelBytes;
        long s0 = w.scalesAt + panel0 * w.scalePanelBytes;
        long s1 = w.scalesAt + panel1 * w.scalePanelBytes;
        int groups = w.groups;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        IntVector shift = IntVector.broadcast(I, w.code.shift);
        IntVector mask = IntVector.broadcast(I, w.code.mask);
        FloatVector factor = FloatVector.broadcast(F, w.code.factor);
        FloatVector a0 = FloatVector.zero(F);
        FloatVector b0 = FloatVector.zero(F);
        FloatVector a1 = FloatVector.zero(F);
        FloatVector b1 = FloatVector.zero(F);
        FloatVector a2 = FloatVector.zero(F);
        FloatVector b2 = FloatVector.zero(F);
        FloatVector a3 = FloatVector.zero(F);
        FloatVector b3 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            FloatVector f0 = FloatVector.fromMemorySegment(F, ALL, s0 + ((long) group << 6), LE);
            FloatVector f1 = FloatVector.fromMemorySegment(F, ALL, s1 + ((long) group << 6), LE);
            for (int block = from; block < to; block++) {
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, at0 + ((long) block << 6), LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, at1 + ((long) block << 6), LE);
                int xi = block << 4;
                for (int j = 0; j < 4; j++) {
                    FloatVector w0 = Fields.top(u0.lanewise(LSHL, 24), shift, mask, factor).mul(f0);
                    FloatVector w1 = Fields.top(u1.lanewise(LSHL, 24), shift, mask, factor).mul(f1);
                    u0 = u0.lanewise(LSHR, 8);
                    u1 = u1.lanewise(LSHR, 8);
                    FloatVector v = FloatVector.broadcast(F, x[xi]);
                    a0 = w0.fma(v, a0);
                    b0 = w1.fma(v, b0);
                    v = FloatVector.broadcast(F, x[xi + 1]);
                    a1 = w0.fma(v, a1);
                    b1 = w1.fma(v, b1);
                    v = FloatVector.broadcast(F, x[xi + 2]);
                    a2 = w0.fma(v, a2);
                    b2 = w1.fma(v, b2);
                    v = FloatVector.broadcast(F, x[xi + 3]);
                    a3 = w0.fma(v, a3);
                    b3 = w1.fma(v, b3);
                    xi += 4;
                }
            }
        }
        a0.intoArray(c, c0);
        b0.intoArray(c, c1);
        a1.intoArray(c, c0 + 16);
        b1.intoArray(c, c1 + 16);
        a2.intoArray(c, c0 + 32);
        b2.intoArray(c, c1 + 32);
        a3.intoArray(c, c0 + 48);
        b3.intoArray(c, c1 + 48);
    }

    private static void float8x8(Panels w, int panel0, int panel1, float[] x, float[] c, int c0, int c1) {
        long at0 = w.codesAt + panel0 * w.panelBytes;
        long at1 = w.codesAt + panel1 * w.panelBytes;
        long s0 = w.scalesAt + panel0 * w.scalePanelBytes;
        long s1 = w.scalesAt + panel1 * w.scalePanelBytes;
        int groups = w.groups;
        int groupBlocks = w.groupBlocks;
        int blocks = w.blocks;
        IntVector shift = IntVector.broadcast(I, w.code.shift);
        IntVector mask = IntVector.broadcast(I, w.code.mask);
        FloatVector factor = FloatVector.broadcast(F, w.code.factor);
        FloatVector a0 = FloatVector.zero(F);
        FloatVector b0 = FloatVector.zero(F);
        FloatVector a1 = FloatVector.zero(F);
        FloatVector b1 = FloatVector.zero(F);
        FloatVector a2 = FloatVector.zero(F);
        FloatVector b2 = FloatVector.zero(F);
        FloatVector a3 = FloatVector.zero(F);
        FloatVector b3 = FloatVector.zero(F);
        FloatVector a4 = FloatVector.zero(F);
        FloatVector b4 = FloatVector.zero(F);
        FloatVector a5 = FloatVector.zero(F);
        FloatVector b5 = FloatVector.zero(F);
        FloatVector a6 = FloatVector.zero(F);
        FloatVector b6 = FloatVector.zero(F);
        FloatVector a7 = FloatVector.zero(F);
        FloatVector b7 = FloatVector.zero(F);
        for (int group = 0; group < groups; group++) {
            int from = group * groupBlocks;
            int to = Math.min(blocks, from + groupBlocks);
            FloatVector f0 = FloatVector.fromMemorySegment(F, ALL, s0 + ((long) group << 6), LE);
            FloatVector f1 = FloatVector.fromMemorySegment(F, ALL, s1 + ((long) group << 6), LE);
            for (int block = from; block < to; block++) {
                IntVector u0 = IntVector.fromMemorySegment(I, ALL, at0 + ((long) block << 6), LE);
                IntVector u1 = IntVector.fromMemorySegment(I, ALL, at1 + ((long) block << 6), LE);
                int xi = block << 5;
                for (int j = 0; j < 4; j++) {
                    FloatVector w0 = Fields.top(u0.lanewise(LSHL, 24), shift, mask, factor).mul(f0);
                    FloatVector w1 = Fields.top(u1.lanewise(LSHL, 24), shift, mask, factor).mul(f1);
                    u0 = u0.lanewise(LSHR, 8);
                    u1 = u1.lanewise(LSHR, 8);
                    FloatVector v = FloatVector.broadcast(F, x[xi]);
                    a0 = w0.fma(v, a0);
                    b0 = w1.fma(v, b0);
                    v = FloatVector.broadcast(F, x[xi + 1]);
                    a1 = w0.fma(v, a1);
                    b1 = w1.fma(v, b1);
                    v = FloatVector.broadcast(F, x[xi + 2]);
                    a2 = w0.fma(v, a2);
                    b2 = w1.fma(v, b2);
                    v = FloatVector.broadcast(F, x[xi + 3]);
                    a3 = w0.fma(v, a3);
                    b3 = w1.fma(v, b3);
                    v = FloatVector.broadcast(F, x[xi + 4]);
                    a4 = w0.fma(v, a4);
                    b4 = w1.fma(v, b4);
                    v = FloatVector.broadcast(F, x[xi + 5]);
                    a5 = w0.fma(v, a5);
                    b5 = w1.fma(v, b5);
                    v = FloatVector.broadcast(F, x[xi + 6]);
                    a6 = w0.fma(v, a6);
                    b6 = w1.fma(v, b6);
                    v = FloatVector.broadcast(F, x[xi + 7]);
                    a7 = w0.fma(v, a7);
                    b7 = w1.fma(v, b7);
                    xi += 8;
                }
            }
        }
        a0.intoArray(c, c0);
        b0.intoArray(c, c1);
        a1.intoArray(c, c0 + 16);
        b1.intoArray(c, c1 + 16);
        a2.intoArray(c, c0 + 32);
        b2.intoArray(c, c1 + 32);
        a3.intoArray(c, c0 + 48);
        b3.intoArray(c, c1 + 48);
        a4.intoArray(c, c0 + 64);
        b4.intoArray(c, c1 + 64);
        a5.intoArray(c, c0 + 80);
        b5.intoArray(c, c1 + 80);
        a6.intoArray(c, c0 + 96);
        b6.intoArray(c, c1 + 96);
        a7.intoArray(c, c0 + 112);
        b7.intoArray(c, c1 + 112);
    }
}
