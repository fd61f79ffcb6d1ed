package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** The fastest way wins, also where the device takes a while to wake up. */
class TrialsTest {
    private static final double[] WAYS = {100, 103, 98, 99, 120};

    @Test
    void aDeviceThatWakesUpDoesNotCountAgainstTheFirst() {
        int[] calls = {0};
        Trials trials = Trials.of(WAYS.length, way -> WAYS[way] * (1 + 0.8 / (1 << calls[0]++)));
        assertEquals(2, trials.chosen());
        assertEquals(98, trials.nanos(), 2);
        assertEquals(100, trials.first(), 3);
        assertEquals(2 * WAYS.length, calls[0]);
    }

    @Test
    void aLaterWayMustBeFasterByMoreThanNoise() {
        assertEquals(0, Trials.of(2, way -> way == 0 ? 100 : 99.5).chosen());
        assertEquals(1, Trials.of(2, way -> way == 0 ? 100 : 98).chosen());
    }

    @Test
    void whatDoesNotRunIsNotTakenNorTriedAgain() {
        int[] calls = {0};
        Trials trials = Trials.of(2, way -> {
            calls[0]++;
            return way == 0 ? Double.POSITIVE_INFINITY : 7;
        });
        assertEquals(1, trials.chosen());
        assertEquals(Double.POSITIVE_INFINITY, trials.first());
        assertEquals(3, calls[0]);
        assertEquals(-1, Trials.of(3, _ -> Double.POSITIVE_INFINITY).chosen());
    }
}
