package io.lowbit.cli.bench.gpu;

/**
 * What the replays of a case ask of the power supply. A card that works its tensor cores runs at its highest clock for some 40 ms
 * and then at one that its power limit allows, 10 to 15 % lower; replays across that moment have two times. So each case is
 * wholly before it or wholly behind it, and all contenders of a shape and M are in the same state: only the operations decide.
 */
enum Load {
    /** Little: short launches, or such as wait for memory. */
    LIGHT,
    /** Replays that are over before the power limit acts, if the device has rested. */
    BURST,
    /** Replays that go on behind that: measured at the clock at which the card settles. */
    SUSTAINED;

    private static final double BURST_NANOS = 60_000;
    private static final double SUSTAINED_NANOS = 430_000;

    /**
     * The load of a launch.
     *
     * @param flops operations of it
     * @param peak BF16 operations a second; NaN where not known, which counts as light
     */
    static Load of(double flops, double peak) {
        double nanos = flops / peak * 1e9;
        return nanos >= SUSTAINED_NANOS ? SUSTAINED : nanos >= BURST_NANOS ? BURST : LIGHT;
    }

    /** A plan's rule for such a case. */
    TimingRule rule(TimingRule planned) {
        return switch (this) {
            case LIGHT -> planned.restless();
            case BURST -> planned.burst();
            case SUSTAINED -> planned.sustained();
        };
    }
}
