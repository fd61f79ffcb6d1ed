package io.lowbit.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Working memory that products share, grown when a bigger one comes and then kept. Guarded by the pool's lock. What the kernels
 * read as scalars or touch rarely are arrays: C2 needs far fewer nodes for them than for segments.
 */
final class Scratch implements AutoCloseable {
    /** What the memory is for; some kinds exist once for each thread. */
    enum Use {
        /** y as f32, where it cannot be written directly. */
        OUTPUT,
        /** One row of x as f32. */
        ROW,
        /** x with its columns in another order. */
        GATHERED,
        /** Scales and zero points of two vectors' groups. */
        SCALES,
        /** A tile of decoded weights. */
        WEIGHTS
    }

    private static final int USES = Use.values().length;

    private final Arena[] arenas;
    private final MemorySegment[] segments;
    private final float[][] sums;
    private float[] activations = new float[0];
    private float[] row = new float[0];

    Scratch(int threads) {
        arenas = new Arena[threads * USES];
        segments = new MemorySegment[arenas.length];
        sums = new float[threads][0];
    }

    /** Makes sure that {@link #get} returns at least {@code bytes} for this use in every slot below {@code slots}. */
    void reserve(Use use, int slots, long bytes) {
        for (int slot = 0; slot < slots; slot++) {
            int i = index(use, slot);
            if (segments[i] == null || segments[i].byteSize() < bytes) {
                Arena old = arenas[i];
                arenas[i] = Arena.ofShared();
                segments[i] = arenas[i].allocate(Math.max(bytes, 64), 4096);
                if (old != null) {
                    old.close();
                }
            }
        }
    }

    /** x in the kernels' order: at least {@code floats} long. */
    float[] activations(int floats) {
        if (activations.length < floats) {
            activations = new float[floats];
        }
        return activations;
    }

    /** One row of y as f32: at least {@code floats} long. */
    float[] row(int floats) {
        if (row.length < floats) {
            row = new float[floats];
        }
        return row;
    }

    /** Makes sure that {@link #sums} are at least {@code floats} long. */
    void reserveSums(int floats) {
        for (int slot = 0; slot < sums.length; slot++) {
            if (sums[slot].length < floats) {
                sums[slot] = new float[floats];
            }
        }
    }

    /** A tile of sums. */
    float[] sums(int slot) {
        return sums[slot];
    }

    MemorySegment get(Use use, int slot) {
        return segments[index(use, slot)];
    }

    private static int index(Use use, int slot) {
        return slot * USES + use.ordinal();
    }

    @Override
    public void close() {
        for (int i = 0; i < arenas.length; i++) {
            if (arenas[i] != null) {
                arenas[i].close();
                arenas[i] = null;
                segments[i] = null;
            }
        }
    }
}
