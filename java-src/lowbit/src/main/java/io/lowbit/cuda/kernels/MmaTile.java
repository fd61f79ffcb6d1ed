package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Stream;

/**
 * The tile of a product of records by mma.sync, and how many blocks cut K for it: argued from Ada's rates in
 * {@code kernels-cuda/NOTES.md} and {@code NOTES-w4a8.md}, not measured there.
 *
 * @param tokens rows of x of a block
 * @param bands of 64 rows of W of a block
 * @param parts of K of a block
 * @param stage µs that a stage takes
 */
record MmaTile(int tokens, int bands, int parts, double stage) {
    static final int MOST_SPLIT = 8;

    /** µs that a block takes besides its stages, and what adding the sums of several takes. */
    private static final double START = 2;
    private static final double ADDING = 1.5;
    /** Bytes that the memory gives to each multiprocessor in a µs: 1.0 TB/s for 128, 0.86 TB/s for 142. */
    private static final double BYTES = 7000;
    private static final long MOST_BLOCKS = Integer.MAX_VALUE;

    /** Rows of W of a block. */
    int rows() {
        return bands * RecordLayout.BAND;
    }

    /** Tiles side by side over W. */
    long columns(RecordLayout.Sizes sizes) {
        return Math.ceilDiv(sizes.bands(), (long) bands);
    }

    /** Blocks of a grid for so many rows of x, {@code split} of them for a tile of y. */
    long blocks(RecordLayout.Sizes sizes, int split, long rows) {
        return columns(sizes) * split * Math.ceilDiv(rows, (long) tokens);
    }

    /** As many rows of x as a grid has blocks for; nearly always all of them. */
    long mostRows(RecordLayout.Sizes sizes, int split) {
        return MOST_BLOCKS / (columns(sizes) * split) * tokens;
    }

    /** Blocks that cut K: the number with which the product takes least time, as far as this simple reckoning goes. */
    int split(RecordLayout.Sizes sizes, long m, int processors) {
        long tiles = columns(sizes) * Math.ceilDiv(m, (long) tokens);
        int best = 1;
        if (tiles > Stream.COUNTER_BYTES / 4) {
            return best;
        }
        long room = (Stream.WORKSPACE_BYTES - Stream.COUNTER_BYTES) / (4L * tokens * rows());
        for (int split = 2; split <= MOST_SPLIT && sizes.spans() >= (long) split * parts && tiles * split <= room; split++) {
            if (micros(sizes, tiles, split, processors) < micros(sizes, tiles, best, processors)) {
                best = split;
            }
        }
        return best;
    }

    /** The memory bounds it, or the blocks' stages in rounds of one block a multiprocessor. */
    private double micros(RecordLayout.Sizes sizes, long tiles, int split, int processors) {
        double memory = sizes.recordsEnd() / (BYTES * processors);
        long depth = Math.ceilDiv(Math.ceilDiv(sizes.spans(), (long) split), (long) parts);
        return Math.max(memory, Math.ceilDiv(tiles * split, (long) processors) * (depth * stage + START)) + (split > 1 ? ADDING : 0);
    }
}
