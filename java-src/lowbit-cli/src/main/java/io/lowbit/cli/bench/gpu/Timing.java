package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.Samples;

/**
 * The time of one launch.
 *
 * @param nanos of one launch: each sample is a replay's time over its launches
 * @param launches of one replay
 * @param copies of weights, activations and outputs that they rotated through
 * @param noise how far the medians of five parts of the replays lie apart, as a part of the median
 * @param capped true where the time cap left fewer replays than asked for
 */
public record Timing(Samples nanos, int launches, int copies, double noise, boolean capped) {
    private static final int PARTS = 5;

    /**
     * Summarizes replays in the order they ran.
     *
     * @param nanos of one launch, one for each replay
     */
    static Timing of(double[] nanos, int launches, int copies, boolean capped) {
        Samples all = Samples.of(nanos);
        double least = Double.POSITIVE_INFINITY;
        double most = 0;
        for (int part = 0; part < PARTS && nanos.length >= PARTS; part++) {
            int from = part * nanos.length / PARTS;
            int to = (part + 1) * nanos.length / PARTS;
            double median = Samples.of(java.util.Arrays.copyOfRange(nanos, from, to)).median();
            least = Math.min(least, median);
            most = Math.max(most, median);
        }
        double noise = nanos.length < PARTS ? (all.max() - all.min()) / all.median() : (most - least) / all.median();
        return new Timing(all, launches, copies, noise, capped);
    }

    /** Median time of one launch. */
    public double seconds() {
        return nanos.median() * 1e-9;
    }
}
