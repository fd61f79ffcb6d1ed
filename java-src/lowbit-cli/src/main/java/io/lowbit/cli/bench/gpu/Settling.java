package io.lowbit.cli.bench.gpu;

/**
 * When a device under sustained work has come to the clock at which it stays. The power limit lets the clock down in steps, some 40
 * to 200 ms after the work began.
 */
final class Settling {
    /** Work between two looks. */
    static final double PART_NANOS = 20e6;
    /** It is given up after so long: what does not settle shows in the noise. */
    static final double MOST_NANOS = 0.5e9;

    private static final double LEAST_NANOS = 100e6;
    private static final double ALIKE = 0.01;
    private static final int PARTS = 4;

    private final double[] last = new double[PARTS];
    private int parts;
    private double spent;

    /** One more part: {@code replays} took {@code nanos} together. */
    void part(double nanos, int replays) {
        last[parts++ % PARTS] = nanos / replays;
        spent += nanos;
    }

    /** Whether the last parts took the same time, or it lasts too long. */
    boolean done() {
        if (spent >= MOST_NANOS) {
            return true;
        }
        double least = Double.POSITIVE_INFINITY;
        double most = 0;
        for (double nanos : last) {
            least = Math.min(least, nanos);
            most = Math.max(most, nanos);
        }
        return parts >= PARTS && spent >= LEAST_NANOS && most <= least * (1 + ALIKE);
    }
}
