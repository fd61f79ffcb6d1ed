package io.lowbit.cpu;

import static io.lowbit.cpu.Fields.F;
import static io.lowbit.cpu.Fields.I;
import static io.lowbit.cpu.Fields.LE;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;

/**
 * Decodes a tile of weights to f32, scales folded in: each value is bit for bit what the scheme defines. The tile is
 * [k][16], one line a column.
 */
final class Decode {
    private Decode() {}

    /**
     * Decodes blocks {@code from} to {@code to} of the vector of rows at byte {@code o} of the panel's lines.
     *
     * @param out receives column i of the range at byte {@code at + 64·i}
     * @param lanes working memory of the thread: {@link #LANE_BYTES}
     */
    static void decode(Panels w, int panel, int o, int from, int to, MemorySegment out, long at, MemorySegment lanes) {
        switch (w.kind) {
            case INT4 -> int4(w, panel, o, from, to, out, at);
            case LUT4 -> {
                if (w.flat == null) {
                    lut4(w, panel, o, from, to, out, at);
                } else {
                    flat4(w, panel, o, from, to, out, at, lanes);
                }
            }
            case FLOAT8 -> float8(w, panel, o, from, to, out, at);
            case FLOAT16 -> float16(w, panel, o, from, to, out, at);
            case ROWS -> rows(w.rows, panel, o, from, to, out, at);
            case FLOAT32 -> MemorySegment.copy(w.codes, panel * w.panelBytes + ((long) from << 6), out, at - o, (long) (to - from) << 6);
        }
    }

    private static void int4(Panels w, int panel, int o, int from, int to, MemorySegment out, long at) {
        MemorySegment codes = w.codes;
        long c = panel * w.panelBytes + o;
        long s = panel * w.scalePanelBytes + o;
        long z = panel * w.zeroPanelBytes + o;
        int wordShift = w.scaleWordShift;
        for (int block = from; block < to; ) {
            int group = block / w.groupBlocks;
            int end = Math.min(to, (group + 1) * w.groupBlocks);
            int up = Fields.up(group, wordShift, w.scale.bits);
            FloatVector scale = Fields.scale(w.scalesAt + s + ((long) (group >>> wordShift) << 6), up, w.scale.shift, IntVector.broadcast(I, w.scale.mask),
                    FloatVector.broadcast(F, w.scaleFactor));
            FloatVector zero = Fields.zero(w.zerosAt + z + (long) (group >>> 3) * w.zeroLineBytes, (group & 7) << 2,
                    IntVector.broadcast(I, 15), IntVector.broadcast(I, Fields.MAGIC)).sub(8388608f);
            FloatVector z0 = zero.add(8388608f);
            FloatVector z1 = zero.add(524288f);
            FloatVector z2 = zero.add(32768f);
            FloatVector z3 = zero.add(2048f);
            for (; block < end; block++) {
                IntVector u = IntVector.fromMemorySegment(I, codes, c + ((long) block << 6), LE);
                long to0 = at + ((long) (block - from) << 9);
                for (int half = 0; half < 2; half++) {
                    u.and(0xf).or(0x4b000000).reinterpretAsFloats().sub(z0).mul(scale).intoMemorySegment(out, to0 + 256 * half, LE);
                    u.and(0xf0).or(0x49000000).reinterpretAsFloats().sub(z1).mul(scale).intoMemorySegment(out, to0 + 256 * half + 64, LE);
                    u.and(0xf00).or(0x47000000).reinterpretAsFloats().sub(z2).mul(scale).intoMemorySegment(out, to0 + 256 * half + 128, LE);
                    u.and(0xf000).or(0x45000000).reinterpretAsFloats().sub(z3).mul(scale).intoMemorySegment(out, to0 + 256 * half + 192, LE);
                    u = u.lanewise(LSHR, 16);
                }
            }
        }
    }

    private static void lut4(Panels w, int panel, int o, int from, int to, MemorySegment out, long at) {
        MemorySegment codes = w.codes;
        long c = panel * w.panelBytes + o;
        long s = panel * w.scalePanelBytes + o;
        int wordShift = w.scaleWordShift;
        IntVector t0 = Fields.table(w.table, 0);
        IntVector t1 = Fields.table(w.table, 1);
        IntVector t2 = Fields.table(w.table, 2);
        IntVector t3 = Fields.table(w.table, 3);
        for (int block = from; block < to; ) {
            int group = block / w.groupBlocks;
            int end = Math.min(to, (group + 1) * w.groupBlocks);
            int up = Fields.up(group, wordShift, w.scale.bits);
            FloatVector scale = Fields.scale(w.scalesAt + s + ((long) (group >>> wordShift) << 6), up, w.scale.shift, IntVector.broadcast(I, w.scale.mask),
                    FloatVector.broadcast(F, w.scaleFactor));
            for (; block < end; block++) {
                IntVector u = IntVector.fromMemorySegment(I, codes, c + ((long) block << 6), LE);
                long to0 = at + ((long) (block - from) << 9);
                for (int pair = 0; pair < 4; pair++) {
                    Fields.look(u, t0, t1, t2, t3).mul(scale).intoMemorySegment(out, to0 + 128 * pair, LE);
                    Fields.look(u.lanewise(LSHR, 4), t0, t1, t2, t3).mul(scale).intoMemorySegment(out, to0 + 128 * pair + 64, LE);
                    u = u.lanewise(LSHR, 8);
                }
            }
        }
    }

    /** Bytes that {@link #flat4} keeps for each thread: three lines. */
    static final int LANE_BYTES = 3 * Panels.BLOCK_BYTES;

    /**
     * bitsandbytes blocks that cross rows: in a block of 8 columns a row changes its scale at most once, since blocks are
     * 32 and longer. For each row: the scale before, the scale after, and the column of the change.
     */
    private static void flat4(Panels w, int panel, int o, int from, int to, MemorySegment out, long at, MemorySegment lanes) {
        MemorySegment codes = w.codes;
        long c = panel * w.panelBytes + o;
        IntVector t0 = Fields.table(w.table, 0);
        IntVector t1 = Fields.table(w.table, 1);
        IntVector t2 = Fields.table(w.table, 2);
        IntVector t3 = Fields.table(w.table, 3);
        long firstRow = (long) panel * Panels.ROWS + o / 4;
        long last = w.flat.byteSize() / 4 - 1;
        int size = w.flatBlock;
        for (int block = from; block < to; block++) {
            for (int lane = 0; lane < Fields.LANES; lane++) {
                long index = (firstRow + lane) * w.k + ((long) block << 3);
                long before = Math.min(index / size, last);
                lanes.set(Output.FLOAT, 4L * lane, w.flat.get(Output.FLOAT, before << 2));
                lanes.set(Output.FLOAT, 64 + 4L * lane, w.flat.get(Output.FLOAT, Math.min(before + 1, last) << 2));
                lanes.set(Output.FLOAT, 128 + 4L * lane, (float) (size - index % size));
            }
            FloatVector before = FloatVector.fromMemorySegment(F, lanes, 0, LE);
            FloatVector after = FloatVector.fromMemorySegment(F, lanes, 64, LE);
            FloatVector change = FloatVector.fromMemorySegment(F, lanes, 128, LE);
            IntVector u = IntVector.fromMemorySegment(I, codes, c + ((long) block << 6), LE);
            long to0 = at + ((long) (block - from) << 9);
            for (int j = 0; j < 8; j++) {
                VectorMask<Float> changed = change.compare(jdk.incubator.vector.VectorOperators.LE, (float) j);
                Fields.look(u.lanewise(LSHR, 4 * j), t0, t1, t2, t3).mul(before.blend(after, changed))
                        .intoMemorySegment(out, to0 + 64L * j, LE);
            }
        }
    }

    /** Scalar code for what has no vector kernel; tiles begin where blocks of up to 256 do. */
    private static void rows(QuantizedMatrix q, int panel, int o, int from, int to, MemorySegment out, long at) {
        int columns = Panels.Kind.ROWS.columns;
        long first = (long) from * columns;
        long padded = (long) (to - from) * columns;
        int count = (int) Math.max(0, Math.min(padded, q.k() - first));
        for (int lane = 0; lane < Fields.LANES; lane++) {
            long row = (long) panel * Panels.ROWS + o / 4 + lane;
            long start = at + 4L * lane;
            int done = 0;
            if (row < q.n()) {
                done = count;
                if (q.scheme() instanceof Scheme.Ggml s) {
                    int step = s.block().elements();
                    long block = row * q.codes().dim(1) + first / step * s.block().bytes();
                    for (int col = 0; col < count; col += step, block += s.block().bytes()) {
                        s.block().decode(q.codes().data(), block, out, start + 64L * col, 64);
                    }
                } else {
                    for (int col = 0; col < count; col++) {
                        out.set(Output.FLOAT, start + 64L * col, q.value(row, first + col));
                    }
                }
            }
            for (int col = done; col < padded; col++) {
                out.set(Output.FLOAT, start + 64L * col, 0f);
            }
        }
    }

    private static void float8(Panels w, int panel, int o, int from, int to, MemorySegment out, long at) {
        MemorySegment codes = w.codes;
        long c = panel * w.panelBytes + o;
        long s = panel * w.scalePanelBytes + o;
        int shift = w.code.shift;
        int mask = w.code.mask;
        float factor = w.code.factor;
        for (int block = from; block < to; ) {
            int group = block / w.groupBlocks;
            int end = Math.min(to, (group + 1) * w.groupBlocks);
            FloatVector scale = FloatVector.fromMemorySegment(F, w.scales, s + ((long) group << 6), LE);
            for (; block < end; block++) {
                IntVector u = IntVector.fromMemorySegment(I, codes, c + ((long) block << 6), LE);
                long to0 = at + ((long) (block - from) << 8);
                Fields.top(u.lanewise(LSHL, 24), shift, mask, factor).mul(scale).intoMemorySegment(out, to0, LE);
                Fields.top(u.lanewise(LSHL, 16), shift, mask, factor).mul(scale).intoMemorySegment(out, to0 + 64, LE);
                Fields.top(u.lanewise(LSHL, 8), shift, mask, factor).mul(scale).intoMemorySegment(out, to0 + 128, LE);
                Fields.top(u, shift, mask, factor).mul(scale).intoMemorySegment(out, to0 + 192, LE);
            }
        }
    }

    private static void float16(Panels w, int panel, int o, int from, int to, MemorySegment out, long at) {
        MemorySegment codes = w.codes;
        long c = panel * w.panelBytes + o;
        int shift = w.code.shift;
        int mask = w.code.mask;
        float factor = w.code.factor;
        for (int block = from; block < to; block++) {
            IntVector u = IntVector.fromMemorySegment(I, codes, c + ((long) block << 6), LE);
            long to0 = at + ((long) (block - from) << 7);
            Fields.top(u.lanewise(LSHL, 16), shift, mask, factor).intoMemorySegment(out, to0, LE);
            Fields.top(u, shift, mask, factor).intoMemorySegment(out, to0 + 64, LE);
        }
    }
}
