package io.lowbit.cli.bench.gpu;

import java.util.function.IntToDoubleFunction;

/**
 * Which of several ways is the fastest, by short trials. All are tried twice and only the second time counts: a device that was
 * left alone is slower for some milliseconds and one that has long worked is slower too, so the first time brings it to where
 * it stays.
 *
 * @param chosen number of the way; −1 where none runs
 * @param nanos its time
 * @param first the time of way 0; infinity where it does not run
 */
record Trials(int chosen, double nanos, double first) {
    /** A later way must be so much faster than an earlier one to be taken, or the choice would be another in each run. */
    private static final double GAIN = 0.01;

    /**
     * Tries.
     *
     * @param trial nanoseconds of a way; infinity where it does not run
     */
    static Trials of(int ways, IntToDoubleFunction trial) {
        double[] nanos = new double[ways];
        for (int i = 0; i < ways; i++) {
            nanos[i] = trial.applyAsDouble(i);
        }
        for (int i = 0; i < ways; i++) {
            nanos[i] = Double.isFinite(nanos[i]) ? trial.applyAsDouble(i) : nanos[i];
        }
        int chosen = -1;
        double least = Double.POSITIVE_INFINITY;
        for (int i = 0; i < ways; i++) {
            if (nanos[i] < least * (1 - GAIN)) {
                least = nanos[i];
                chosen = i;
            }
        }
        return new Trials(chosen, least, nanos[0]);
    }
}
