package io.lowbit.cuda.kernels;

/**
 * How many blocks, in clusters, the multiprocessors hold at once. Two launches that overlap lie side by side only where each has one block of
 * every multiprocessor, so kernels for few rows of x fill the places that they do not need with blocks that only wait.
 */
final class Places {
    /** Multiprocessors of the H100 that {@link #clusters} holds for. */
    static final int PROCESSORS = 132;

    private static final int[][] CLUSTERS = {{132, 66, 39, 30, 22, 17, 15, 15}, {264, 132, 79, 62, 47, 39, 32, 30}};

    private Places() {}

    /**
     * Clusters that run at once on an H100: what the driver's occupancy says.
     *
     * @param size blocks of a cluster, 1 to 8
     * @param blocks of a multiprocessor, 1 or 2
     */
    static int clusters(int size, int blocks) {
        return CLUSTERS[blocks - 1][size - 1];
    }

    /** True where at most a quarter of the multiprocessors would have no block. */
    static boolean nearlyAll(long blocks, int processors) {
        return 4 * blocks >= 3L * processors;
    }

    /** Blocks of a launch that has one of each multiprocessor, in whole clusters of {@code size}. */
    static long every(int size, int processors) {
        return processors / size * size;
    }
}
