package io.lowbit.cli.bench.gpu;

/**
 * How long to time.
 *
 * @param replays of the graph, at least, unless the cap forbids it
 * @param replayNanos a replay has so many launches that it takes at least so long: the clock's steps are half a microsecond
 * @param restNanos the device is left alone so long before the warm-up of a {@link Load#BURST}: after sustained work on tensor
 *     cores it holds the clock down for a while, and what ran before would be in the figures
 * @param warmNanos untimed replays take at least so long
 * @param apart true to wait after each replay, so that the host's launch of the graph is in its time; false to queue all of them
 * @param capNanos all replays of a case together take about so long at most
 * @param windowNanos or so long, if fewer launches in each replay are enough for that
 */
public record TimingRule(int replays, double replayNanos, double restNanos, double warmNanos, boolean apart,
        double capNanos, double windowNanos) {
    /** Replays that may use all of the cap. */
    TimingRule(int replays, double replayNanos, double restNanos, double warmNanos, boolean apart, double capNanos) {
        this(replays, replayNanos, restNanos, warmNanos, apart, capNanos, capNanos);
    }

    /** Replays of half a millisecond or more, after a rest and 5 ms of warm-up. */
    public static TimingRule of(int replays, double capSeconds, double restSeconds, boolean apart) {
        return new TimingRule(replays, 0.5e6, restSeconds * 1e9, 5e6, apart, capSeconds * 1e9);
    }

    /**
     * Replays of one launch on each copy, each waited for: many harnesses of Python programs measure so. The start of a graph on
     * an idle device is in the time, and a device that rests between replays keeps its clock.
     */
    TimingRule brief() {
        return new TimingRule(replays, 0, restNanos, settled() ? SETTLED : BRIEF_WARM_NANOS, true, Math.min(capNanos, BRIEF_CAP_NANOS));
    }

    /** The same without a rest. */
    TimingRule restless() {
        return new TimingRule(replays, replayNanos, 0, warmNanos, apart, capNanos);
    }

    /** The same, over so soon that the power limit does not act yet. */
    TimingRule burst() {
        return new TimingRule(replays, replayNanos, restNanos, warmNanos, apart, capNanos, BURST_NANOS);
    }

    /** The same without a rest, after so much work that the clock has come down to where it stays: {@link Settling}. */
    TimingRule sustained() {
        return new TimingRule(replays, replayNanos, 0, SETTLED, apart, capNanos);
    }

    /** Whether the warm-up lasts until the clock stays. */
    boolean settled() {
        return warmNanos == SETTLED;
    }

    public TimingRule {
        if (replays < 1 || replays > 10_000 || !(capNanos > 0) || !(restNanos >= 0)) {
            throw new IllegalArgumentException("timing of " + replays + " replays in " + capNanos * 1e-9
                    + " s after a rest of " + restNanos * 1e-9 + " s: expected 1 to 10000 replays, more than 0 s and a rest of at least 0");
        }
    }

    private static final int FEWEST_REPLAYS = 3;
    private static final double BRIEF_CAP_NANOS = 0.3e9;
    private static final double BRIEF_WARM_NANOS = 1e6;
    private static final double BURST_NANOS = 35e6;
    private static final double SETTLED = Double.POSITIVE_INFINITY;
    /** A pass over all copies may take this part of the cap. */
    private static final int PASS_PART = 8;
    private static final int MOST_LAUNCHES = 1024;

    /** Copies that can be afforded by launches of about {@code nanos} each: slow kernels do not profit from caches anyway. */
    int copies(double nanos, int copies) {
        return Math.clamp((long) (capNanos / PASS_PART / nanos), 1, copies);
    }

    /** Launches of one replay, on the next so many copies, and number of replays. */
    record Counts(int launches, int replays, boolean capped) {}

    /**
     * What to do for a launch that takes about {@code nanos}.
     *
     * @param copies to rotate through: each replay launches on all of them, unless the cap or the window forbids it
     */
    Counts counts(double nanos, int copies) {
        int rounds = Math.clamp((long) Math.ceil(replayNanos / (copies * nanos)), 1, Math.max(1, MOST_LAUNCHES / copies));
        int launches = rounds * copies;
        double window = Math.min(capNanos, windowNanos);
        if (launches * nanos * replays > window) {
            launches = Math.clamp((long) (window / (replays * nanos)), Math.min(copies, 2), launches);
        }
        int affordable = (int) Math.min(Integer.MAX_VALUE, capNanos / (launches * nanos));
        int used = Math.clamp(affordable, FEWEST_REPLAYS, replays);
        return new Counts(launches, used, used < replays);
    }
}
