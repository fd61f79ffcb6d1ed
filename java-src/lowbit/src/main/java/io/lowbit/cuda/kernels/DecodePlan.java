package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.LaunchConfig;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.IntToLongFunction;

/**
 * How blocks share a matrix in records where few rows of x make reading it what takes the time: {@code w4_decode.cu},
 * {@code w4a8_decode.cu}. What a block multiplies after the kernel before has ended is to be little, and as much of the matrix as
 * possible on its way at once, while blocks of the kernels before and after are there too.
 *
 * @param bands of 64 rows of W
 * @param spans records along K
 * @param processors multiprocessors of the GPU
 * @param warps of a block
 * @param split blocks of a cluster, which cut K
 * @param stages records of a warp's ring
 */
record DecodePlan(long bands, long spans, int processors, int warps, int split, int stages) {
    private static final int MOST_SPLIT = 8;
    private static final int WARPS = 8;
    private static final int MANY_WARPS = 16;
    /** Records along K for a warp that are few enough: the first is multiplied while the second is on its way. */
    private static final int RECORDS = 2;
    /** Blocks of a cluster that hardly wait for each other. */
    private static final int SMALL_CLUSTER = 2;
    /** The same where all blocks are there at once. */
    private static final int CLUSTER_OF_MANY_WARPS = 3;
    /** Warps of a block that are not to be without work. */
    private static final int LEAST_WARPS = 4;

    /**
     * By measurement on an H100 (kernels-cuda/NOTES.md), two records a warp where that takes small clusters or more blocks than
     * are ever there at once; else blocks of 16 warps, two a multiprocessor and no more; else as many blocks as that with rings of two.
     *
     * @param processors multiprocessors of the GPU
     * @param manyWarps whether the kernel has registers for blocks of 16 warps
     */
    static DecodePlan of(RecordLayout.Sizes sizes, int processors, boolean manyWarps) {
        long bands = sizes.bands();
        long spans = sizes.spans();
        long places = 2L * processors;
        long split = Math.ceilDiv(spans, (long) RECORDS * WARPS);
        long halved = Math.ceilDiv(spans, (long) RECORDS * MANY_WARPS);
        if (split > SMALL_CLUSTER && manyWarps && halved <= CLUSTER_OF_MANY_WARPS && bands * halved > processors && bands * halved <= places) {
            return new DecodePlan(bands, spans, processors, MANY_WARPS, (int) halved, 1);
        }
        if (split > SMALL_CLUSTER && (split > MOST_SPLIT || bands <= places)) {
            split = Math.clamp(places / bands, 1, MOST_SPLIT);
            return new DecodePlan(bands, spans, processors, WARPS, (int) split, stages(spans, split));
        }
        while (split < MOST_SPLIT && !nearlyAll(bands * split, processors) && spans >= 2 * split * LEAST_WARPS) {
            split *= 2;
        }
        // While a warp waits for its next record, others multiply; two stages only where there are few warps at all.
        return new DecodePlan(bands, spans, processors, WARPS, (int) split, bands * split > processors ? 1 : stages(spans, split));
    }

    /** Rings of two, where a warp has as many records. */
    private static int stages(long spans, long split) {
        return (int) Math.min(Math.ceilDiv(Math.ceilDiv(spans, split), (long) WARPS), RECORDS);
    }

    /** True where at most a quarter of the multiprocessors would have no block. */
    private static boolean nearlyAll(long blocks, int processors) {
        return 4 * blocks >= 3L * processors;
    }

    /**
     * How the kernel is launched for 1, 2 … {@code rows} rows of x.
     *
     * @param shared the shared memory of a block for so many rows
     */
    LaunchConfig[] configs(int rows, IntToLongFunction shared) {
        LaunchConfig[] configs = new LaunchConfig[rows];
        for (int i = 0; i < rows; i++) {
            configs[i] = LaunchConfig.of(32 * warps).withCluster(split, 1, 1).withShared(Math.toIntExact(shared.applyAsLong(i + 1))).withOverlap();
        }
        return configs;
    }

    /**
     * What the kernel is told of the plan.
     *
     * @param several rows of x, not one
     * @param own what the kernel wants to know besides
     */
    MemorySegment shape(Arena arena, boolean several, int... own) {
        MemorySegment shape = arena.allocate(4L * (4 + own.length), 4);
        shape.setAtIndex(ValueLayout.JAVA_INT, 0, split);
        shape.setAtIndex(ValueLayout.JAVA_INT, 1, stages);
        shape.setAtIndex(ValueLayout.JAVA_INT, 2, spansOfBlock());
        shape.setAtIndex(ValueLayout.JAVA_INT, 3, several && single() ? 1 : 0);
        for (int i = 0; i < own.length; i++) {
            shape.setAtIndex(ValueLayout.JAVA_INT, 4 + i, own[i]);
        }
        return shape;
    }

    /**
     * Bytes of the rings of all warps.
     *
     * @param stage bytes of a record and of its columns of x, for which there are whole lines of 128
     */
    long ringBytes(int stage) {
        return (long) warps * stages * Math.ceilDiv(stage, 128) * 128;
    }

    /** Records along K for a block. */
    int spansOfBlock() {
        return Math.toIntExact(Math.ceilDiv(spans, (long) split));
    }

    boolean manyWarps() {
        return warps == MANY_WARPS;
    }

    /**
     * True where there is at most a block for each multiprocessor. Then the kernel after had better begin when the one before has ended
     * where x has several rows, which what it loads would hold up; with one row it is the other way around.
     */
    private boolean single() {
        return bands * split <= processors;
    }

    /**
     * Blocks along N. Where nearly every multiprocessor has one, the others get one that only waits for the kernel before: else two
     * kernels one after the other, whose blocks are there at once, would leave some multiprocessors two blocks of one product.
     */
    long blocks() {
        long blocks = bands * split;
        return single() && nearlyAll(blocks, processors) ? processors / split * split : blocks;
    }
}
