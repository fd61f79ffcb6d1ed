package io.lowbit.cli.bench;

import io.lowbit.simd.Simd;
import java.lang.foreign.MemorySegment;

/** The inner loops that find the machine's limits; results are returned so that no compiler may drop the work. */
interface LimitLoops {
    /** Numbers of distant streams that {@link #read} can follow at once. */
    int[] STREAMS = {1, 2, 4};

    /** Vector API loops where {@link Simd} allows them, else scalar ones. */
    static LimitLoops choose() {
        return Simd.vectorized() ? new VectorLimitLoops() : new ScalarLimitLoops();
    }

    /**
     * Reads {@code bytes} bytes at each of {@code streams} places, {@code stride} bytes apart.
     *
     * @param bytes a multiple of 256
     */
    long read(MemorySegment data, long at, long stride, int streams, int bytes);

    /** Runs independent chains of fused multiply-adds in registers. */
    float fma(int iterations);

    /** Multiplications and additions in one iteration of {@link #fma}. */
    int flopsPerIteration();

    /** For example {@code 512-bit Vector API}. */
    String name();
}
