package io.lowbit.cuda.kernels;

/**
 * How tiles of y are cut along K and shared out to blocks ({@code kernels-cuda/cuts.cuh}): {@code groups} groups of {@code runs} blocks
 * each make {@code tiles} tiles in runs of as many steps, then all blocks make what is left as wholes. A block here is a cluster where
 * a kernel has clusters.
 *
 * @param runs of a group, 0 where nothing is cut
 * @param span run r begins at step {@code r·span / runs} of its group's
 * @param after own steps after which the owner of a tile adds the sums of the only other block that has some
 */
record Cuts(int groups, int runs, int tiles, int span, int after) {
    static final Cuts NONE = new Cuts(0, 0, 0, 0, 0);

    /** Runs are at as many places along K at a time, which the L2 cache must give each on its own. */
    private static final int MOST_RUNS = 12;
    /** Steps that a cut takes, measured: sums that go out and come in, and what is read at several places at a time; one more for each run. */
    private static final int ADDING = 12;
    /** Steps until sums that a block has finished are surely there for others. */
    private static final int ARRIVAL = 4;

    /** The number of blocks. */
    int blocks() {
        return groups * runs;
    }

    /**
     * The cut with which so many tiles take the fewest steps, each round of blocks that make whole tiles but the last one kept; none where that
     * is no better than whole tiles in rounds.
     *
     * @param steps of a tile along K
     * @param most blocks there may be
     */
    static Cuts of(long tiles, long steps, int most) {
        Cuts best = NONE;
        // Fewer tiles than blocks are cut wherever that makes the longest run shorter.
        long least = tiles < most ? Long.MAX_VALUE : Math.ceilDiv(tiles, (long) most) * steps - ADDING;
        for (int runs = 2; runs <= Math.min(MOST_RUNS, most); runs++) {
            long groups = most / runs;
            long rounds = Math.max(0, tiles / (groups * runs) - 1);
            long rest = tiles - rounds * groups * runs;
            long each = Math.ceilDiv(rest, groups);
            if (rounds == 0) {
                groups = Math.ceilDiv(rest, each);
            }
            long span = each * steps;
            long cost = rounds * steps + Math.ceilDiv(span, (long) runs) + runs;
            if (each % runs != 0 && span >= runs && rounds * steps + span / runs < Math.ceilDiv(tiles, (long) most) * steps && cost < least) {
                least = cost;
                best = new Cuts((int) groups, runs, (int) each, Math.toIntExact(span), (int) Math.max(ARRIVAL, steps - span / runs + ARRIVAL));
            }
        }
        return best;
    }
}
