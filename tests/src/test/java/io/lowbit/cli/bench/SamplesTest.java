package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SamplesTest {
    @Test
    void medianMinAndNearestRankP95() {
        double[] hundred = IntStream.rangeClosed(1, 100).mapToDouble(i -> 101 - i).toArray();
        assertEquals(new Samples(100, 50.5, 1, 95, 100), Samples.of(hundred));
        assertEquals(new Samples(3, 2, 1, 9, 9), Samples.of(9, 1, 2));
        assertEquals(new Samples(1, 7, 7, 7, 7), Samples.of(7.0));
    }

    @Test
    void takesOnlyTheValuesCounted() {
        assertEquals(new Samples(2, 4, 3, 5, 5), Samples.of(new long[] {5, 3, 1000, 0}, 2));
    }

    @Test
    void refusesNone() {
        assertThrows(IllegalArgumentException.class, () -> Samples.of());
        assertThrows(IllegalArgumentException.class, () -> Samples.of(new long[4], 0));
    }
}
