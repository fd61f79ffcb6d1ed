package io.lowbit.cli.bench;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.EnumMap;
import java.util.Map;
import java.util.StringJoiner;

/**
 * The limits of the processors, in Java: read bandwidth over a set as large as a case's weights and F32 FMA peak, each
 * with as many threads as the backend computes with.
 */
public final class CpuLimits implements Limits {
    private static final int BLOCK = 16 << 10;
    private static final int WARM_ITERATIONS = 1 << 12;
    private static final long WARM_NANOS = 300_000_000;
    private static final long READ_NANOS = 15_000_000;
    private static final long FMA_NANOS = 8_000_000;

    private final LimitLoops loops = LimitLoops.choose();
    private final Crew crew;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment data;
    private final Map<Regime, Integer> streams = new EnumMap<>(Regime.class);
    /** Where each thread goes on reading, in blocks; padded to a cache line each. */
    private final long[] position;
    /** Iterations that take about {@link #FMA_NANOS}. */
    private final int fmaIterations;
    private volatile long sink;

    /**
     * Allocates and fills the memory to read, compiles the loops and finds the best number of streams.
     *
     * @param threads that compute
     * @param sets sizes of the sets: the DRAM set is the largest that may be asked for
     */
    public CpuLimits(int threads, SetSizes sets) {
        crew = new Crew(threads);
        position = new long[16 * threads];
        data = arena.allocate(sets.dramBytes(), 4096);
        // Pages never written to are all one page of zeros, and would be read from the cache.
        crew.sum(t -> {
            long part = data.byteSize() / threads & -8;
            for (long i = t * part; i < (t + 1) * part; i += 8) {
                data.set(ValueLayout.JAVA_LONG_UNALIGNED, i, i * 0x9E3779B97F4A7C15L);
            }
            return 0;
        });
        fmaIterations = fmaIterations();
        calibrate(Regime.DRAM, sets.dramBytes());
        if (sets.l3Bytes() > 0) {
            calibrate(Regime.L3, sets.l3Bytes());
        }
    }

    private void calibrate(Regime regime, long bytes) {
        int best = 1;
        double bestRate = 0;
        for (int candidate : LimitLoops.STREAMS) {
            double[] rates = new double[7];
            for (int i = -3; i < rates.length; i++) {
                double rate = readFor(bytes, candidate, READ_NANOS);
                if (i >= 0) {
                    rates[i] = rate;
                }
            }
            double median = Samples.of(rates).median();
            if (median > bestRate) {
                best = candidate;
                bestRate = median;
            }
        }
        streams.put(regime, best);
    }

    @Override
    public double readBandwidth(Regime regime, long setBytes) {
        if (setBytes > data.byteSize()) {
            throw new IllegalArgumentException("read bandwidth over " + setBytes + " bytes: expected at most " + data.byteSize());
        }
        if (regime == Regime.L3) {
            // brings the set into the cache again
            readFor(setBytes, streams.get(regime), READ_NANOS / 3);
        }
        return readFor(setBytes, streams.get(regime), READ_NANOS);
    }

    @Override
    public double flops() {
        return fma(fmaIterations);
    }

    /** Compiles the loop, then finds how often it turns in {@link #FMA_NANOS}. */
    private int fmaIterations() {
        long start = System.nanoTime();
        while (System.nanoTime() - start < WARM_NANOS) {
            fma(WARM_ITERATIONS);
        }
        double perSecond = fma(WARM_ITERATIONS) / crew.threads() / loops.flopsPerIteration();
        return Math.clamp((long) (perSecond * FMA_NANOS * 1e-9), WARM_ITERATIONS, Integer.MAX_VALUE);
    }

    /** Each thread reads its own part of the set, in distant streams; bytes a second of all together. */
    private double readFor(long setBytes, int streamCount, long nanos) {
        long part = setBytes / crew.threads();
        long stripe = part / streamCount / BLOCK * BLOCK;
        if (stripe == 0) {
            throw new IllegalArgumentException("read bandwidth over " + setBytes + " bytes: expected at least "
                    + (long) BLOCK * crew.threads() * streamCount);
        }
        return crew.sum(t -> {
            long start = System.nanoTime();
            long now = start;
            long seen = 0;
            long at = position[16 * t] % stripe;
            long blocks = 0;
            while (now - start < nanos) {
                seen += loops.read(data, t * part + at, stripe, streamCount, BLOCK);
                at += BLOCK;
                if (at == stripe) {
                    at = 0;
                }
                blocks++;
                now = System.nanoTime();
            }
            position[16 * t] = at;
            sink = seen;
            return (double) blocks * BLOCK * streamCount / ((now - start) * 1e-9);
        });
    }

    /**
     * A sample is one call. With a loop around the call C2 would compile that loop in turn, the call inlined, and then
     * keeps the sums in memory: half the peak.
     */
    private double fma(int iterations) {
        return crew.sum(_ -> {
            long start = System.nanoTime();
            float seen = loops.fma(iterations);
            long nanos = System.nanoTime() - start;
            sink = Float.floatToRawIntBits(seen);
            return (double) iterations * loops.flopsPerIteration() / (nanos * 1e-9);
        });
    }

    @Override
    public String method() {
        StringJoiner used = new StringJoiner(", ");
        streams.forEach((regime, count) -> used.add(regime + " " + count));
        return "in Java, " + loops.name() + ", " + crew.threads() + (crew.threads() == 1 ? " thread" : " threads")
                + "; reads with the best of 1, 2 or 4 streams a thread (" + used + "); FMA in registers";
    }

    @Override
    public void close() {
        crew.close();
        arena.close();
    }
}
