package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.LaunchConfig;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.IntToLongFunction;
import java.util.function.ToLongFunction;

/**
 * How blocks share a matrix in records where few rows of x make reading it what takes the time: {@code w4_decode.cu},
 * {@code w4a8_decode.cu}. What a block multiplies after the kernel before has ended is to be little, and every multiprocessor
 * is to have as much of it as the others, while blocks of the kernels before and after are there too.
 *
 * @param bands of 64 rows of W
 * @param spans records along K
 * @param warps of a block
 * @param split blocks of a cluster, which cut K
 * @param stages records of a warp's ring
 */
record DecodePlan(long bands, long spans, int warps, int split, int stages) {
    private static final int MOST_SPLIT = 8;
    /** Multiprocessors of the GPUs that this was measured on; not many more or less on the others. */
    private static final int PROCESSORS = 132;
    /** Warps of a block; and where a block of twice as many for twice as much of K lets all of them be there at once, two a multiprocessor. */
    private static final int WARPS = 8;
    private static final int MANY_WARPS = 16;
    /** Records along K for a warp that are few enough. */
    private static final int RECORDS = 2;
    /** Warps of a block that are not to be without work. */
    private static final int LEAST_WARPS = 4;
    private static final int MOST_STAGES = 4;

    /**
     * @param manyWarps whether the kernel has registers for blocks of 16 warps
     * @param shared the shared memory of a block; there are no more stages than fit
     */
    static DecodePlan of(RecordLayout.Sizes sizes, boolean manyWarps, ToLongFunction<DecodePlan> shared) {
        long bands = sizes.bands();
        long spans = sizes.spans();
        int warps = MANY_WARPS;
        int split = split(spans, warps);
        if (!manyWarps || spans < 2L * RECORDS * MANY_WARPS || bands * split <= PROCESSORS || bands * split > 2 * PROCESSORS) {
            warps = WARPS;
            split = split(spans, warps);
            while (split < MOST_SPLIT && !nearlyAll(bands * split) && spans >= 2L * split * LEAST_WARPS) {
                split *= 2;
            }
        }
        // While a warp waits for its next record, others multiply; deeper only where there are few warps at all.
        long records = Math.ceilDiv(Math.ceilDiv(spans, (long) split), (long) warps);
        DecodePlan plan = new DecodePlan(bands, spans, warps, split, bands * split > PROCESSORS ? 1 : (int) Math.clamp(records, 1, MOST_STAGES));
        while (plan.stages > 1 && shared.applyAsLong(plan) > W4Functions.MOST_SHARED) {
            plan = new DecodePlan(bands, spans, warps, split, plan.stages - 1);
        }
        return plan;
    }

    private static int split(long spans, int warps) {
        int split = 1;
        while (split < MOST_SPLIT && spans > (long) split * warps * RECORDS) {
            split *= 2;
        }
        return split;
    }

    /** True where at most a quarter of the multiprocessors would have no block. */
    private static boolean nearlyAll(long blocks) {
        return 4 * blocks >= 3 * PROCESSORS;
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
        return bands * split <= PROCESSORS;
    }

    /**
     * Blocks along N. Where nearly every multiprocessor has one, the others get one that only waits for the kernel before: else two
     * kernels one after the other, whose blocks are there at once, would leave some multiprocessors two blocks of one product.
     */
    long blocks() {
        long blocks = bands * split;
        return single() && nearlyAll(blocks) ? PROCESSORS / split * split : blocks;
    }
}
