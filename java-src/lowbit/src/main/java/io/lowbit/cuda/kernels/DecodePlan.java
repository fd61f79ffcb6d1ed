package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.LaunchConfig;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.ToLongFunction;

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
    /** Rows of x up to which the kernel after may begin at once where nearly every multiprocessor has a block. */
    static final int AT_ONCE = 2;

    private static final int MOST_SPLIT = 8;
    private static final int WARPS = 8;
    private static final int MANY_WARPS = 16;
    /** Records along K for a warp that are few enough: the first is multiplied while the second is on its way. */
    private static final int RECORDS = 2;
    /** Blocks of a cluster that hardly wait for each other. */
    private static final int SMALL_CLUSTER = 2;
    /** Blocks of 16 warps of a multiprocessor at once. */
    private static final int TWO = 2;
    /** Shared memory of a multiprocessor, and what of it the driver takes for each block. */
    private static final long ALL_SHARED = 228 << 10;
    private static final long TAKEN = 1 << 10;

    /**
     * By measurement on an H100 (kernels-cuda/NOTES.md), the first of these whose blocks are all there at once: two records a warp and
     * small clusters; blocks of 16 warps with two records a warp; rings of one or of two, whichever has more records on their way. More
     * blocks than that: two records a warp, round after round.
     *
     * @param processors multiprocessors of the GPU
     * @param registers blocks of 8 warps for which a multiprocessor has registers
     * @param manyWarps whether there is a kernel for blocks of 16 warps, two a multiprocessor
     * @param shared the shared memory of a block
     */
    static DecodePlan of(RecordLayout.Sizes sizes, int processors, int registers, boolean manyWarps, ToLongFunction<DecodePlan> shared) {
        long bands = sizes.bands();
        long spans = sizes.spans();
        int split = (int) Math.min(Math.ceilDiv(spans, (long) RECORDS * WARPS), MOST_SPLIT);
        int stages = 1;
        int[] blocks = new int[RECORDS];  // of a multiprocessor at once, with rings of one and of two
        for (int i = 0; i < RECORDS; i++) {
            long bytes = shared.applyAsLong(new DecodePlan(bands, spans, processors, WARPS, SMALL_CLUSTER, i + 1));
            blocks[i] = (int) Math.min(registers, ALL_SHARED / (bytes + TAKEN));
        }
        if (split > SMALL_CLUSTER || !atOnce(bands, split, blocks[0], processors)) {
            long many = Math.ceilDiv(spans, (long) RECORDS * MANY_WARPS);
            boolean busy = 4 * spans >= 3 * many * RECORDS * MANY_WARPS;
            if (manyWarps && busy && many <= MOST_SPLIT && bands * many > processors && atOnce(bands, (int) many, TWO, processors)) {
                return new DecodePlan(bands, spans, processors, MANY_WARPS, (int) many, 1);
            }
            int one = most(bands, split, blocks[0], processors);
            int two = most(bands, split, blocks[1], processors);
            if (RECORDS * two > one) {
                split = two;
                stages = RECORDS;
            } else if (one > 0) {
                split = one;
            }
        }
        while (2 * split <= MOST_SPLIT && !Places.nearlyAll(bands * split, processors) && spans >= 2L * split * WARPS) {
            split *= 2;
        }
        // Rings of two also where there are few warps at all.
        long records = Math.ceilDiv(Math.ceilDiv(spans, (long) split), (long) WARPS);
        return new DecodePlan(bands, spans, processors, WARPS, split, (int) Math.min(records, bands * split > processors ? stages : RECORDS));
    }

    /**
     * Codebooks in blocks of 64 columns. A table of 32 KB in each block makes few large blocks better: of 16 warps, where two of a
     * multiprocessor leave room for K cut in two or three; of 8, two records a warp, where three do; else rings of two, round after round.
     *
     * @param processors multiprocessors of the GPU
     */
    static DecodePlan ofTable(RecordLayout.Sizes sizes, int processors) {
        long bands = sizes.bands();
        long spans = sizes.spans();
        int split = (int) Math.min(Math.ceilDiv(spans, (long) MANY_WARPS), MOST_SPLIT);
        int many = most(bands, Math.min(split, SMALL_CLUSTER + 1), TWO, processors);
        if (many > 1 && 2 * bands * many > processors) {
            return new DecodePlan(bands, spans, processors, MANY_WARPS, many, 1);
        }
        if (bands * split <= processors) {  // few rows of W
            split = (int) Math.min(Math.ceilDiv(spans, (long) WARPS), MOST_SPLIT);
        }
        split = most(bands, split, TWO + 1, processors);
        return split > 0 ? new DecodePlan(bands, spans, processors, WARPS, split, 1) : new DecodePlan(bands, spans, processors, WARPS, 1, RECORDS);
    }

    /** True where a cluster for each band can be there, with so many blocks a multiprocessor. */
    private static boolean atOnce(long bands, int split, int blocks, int processors) {
        return bands <= Places.clusters(split, TWO) * blocks * (long) processors / (TWO * Places.PROCESSORS);
    }

    /** The most blocks of a cluster, up to {@code split}, so that all are there at once; 0 where none are. */
    private static int most(long bands, int split, int blocks, int processors) {
        int most = split;
        while (most > 0 && !atOnce(bands, most, blocks, processors)) {
            most--;
        }
        return most;
    }

    /**
     * How the kernel is launched.
     *
     * @param shared the shared memory of a block for as many rows as a block ever has: with less for fewer rows more blocks would find
     *     room on some multiprocessors than on others
     */
    LaunchConfig config(long shared) {
        return LaunchConfig.of(32 * warps).withCluster(split, 1, 1).withShared(Math.toIntExact(shared)).withOverlap();
    }

    /**
     * What the kernel is told of the plan.
     *
     * @param several rows of x, more than {@link #AT_ONCE}
     * @param own what the kernel wants to know besides
     */
    MemorySegment shape(Arena arena, boolean several, int... own) {
        MemorySegment shape = arena.allocate(4L * (4 + own.length), 4);
        shape.setAtIndex(ValueLayout.JAVA_INT, 0, split);
        shape.setAtIndex(ValueLayout.JAVA_INT, 1, stages);
        shape.setAtIndex(ValueLayout.JAVA_INT, 2, spansOfBlock());
        shape.setAtIndex(ValueLayout.JAVA_INT, 3, single() && (several || !Places.nearlyAll(bands * split, processors)) ? 1 : 0);
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
        return (long) warps * stages * RecordLayout.wholeLines(stage);
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
     * where x has several rows, which what it loads would hold up, or where there are few blocks; with one row or two and many blocks it
     * is the other way around.
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
        return single() && Places.nearlyAll(blocks, processors) ? Places.every(split, processors) : blocks;
    }
}
