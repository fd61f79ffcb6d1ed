package io.lowbit.cuda.driver;

/**
 * How a kernel is launched, apart from its grid and arguments. Made once per kernel, used for launch after launch.
 *
 * @param threadsX threads of a block along x
 * @param threadsY threads of a block along y
 * @param threadsZ threads of a block along z
 * @param clusterX blocks of a cluster along x; 1 × 1 × 1 is no cluster. The grid must be a multiple of the cluster
 * @param clusterY blocks of a cluster along y
 * @param clusterZ blocks of a cluster along z
 * @param sharedBytes dynamic shared memory; above 48 KiB the function needs {@link Function#allowShared} first
 * @param overlap programmatic dependent launch: the kernel may start while the one before it in the stream still runs,
 *     and must execute {@code griddepcontrol.wait} before it reads what that one writes, or writes what that one reads
 */
public record LaunchConfig(int threadsX, int threadsY, int threadsZ, int clusterX, int clusterY, int clusterZ, int sharedBytes,
        boolean overlap) {
    /** Blocks of {@code threads} threads in a row, nothing else. */
    public static LaunchConfig of(int threads) {
        return new LaunchConfig(threads, 1, 1, 1, 1, 1, 0, false);
    }

    /** With {@code bytes} of dynamic shared memory. */
    public LaunchConfig withShared(int bytes) {
        return new LaunchConfig(threadsX, threadsY, threadsZ, clusterX, clusterY, clusterZ, bytes, overlap);
    }

    /** With clusters of {@code x × y × z} blocks. */
    public LaunchConfig withCluster(int x, int y, int z) {
        return new LaunchConfig(threadsX, threadsY, threadsZ, x, y, z, sharedBytes, overlap);
    }

    /** With programmatic dependent launch. */
    public LaunchConfig withOverlap() {
        return new LaunchConfig(threadsX, threadsY, threadsZ, clusterX, clusterY, clusterZ, sharedBytes, true);
    }

    boolean clustered() {
        return clusterX * clusterY * clusterZ > 1;
    }
}
