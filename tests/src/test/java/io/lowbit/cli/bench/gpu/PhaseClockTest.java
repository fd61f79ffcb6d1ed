package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.lowbit.cli.bench.gpu.PhaseClock.Phase;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Seconds go to the phase that was entered last. */
class PhaseClockTest {
    private long now = 5_000_000_000L;

    @Test
    void timeCountsForThePhaseEnteredLast() {
        PhaseClock clock = new PhaseClock(() -> now);
        assertNull(clock.enter(Phase.REPLAY));
        now += 2_000_000_000L;
        assertEquals(Phase.REPLAY, clock.enter(Phase.CHECK));
        now += 500_000_000L;
        clock.enter(Phase.REPLAY);
        now += 1_000_000_000L;
        assertEquals(Map.of("check", 0.5, "replay", 3.0), clock.seconds());
        now += 1_000_000_000L;
        assertEquals(4.0, clock.seconds().get("replay"), "asking does not stop the clock");
    }

    @Test
    void aPartOfAPhaseCanBeAnother() {
        PhaseClock clock = new PhaseClock(() -> now);
        clock.enter(Phase.WEIGHTS);
        now += 3_000_000_000L;
        clock.move(Phase.COMPILE, 2_000_000_000L);
        now += 500_000_000L;
        assertEquals(Map.of("compile", 2.0, "weights", 1.5), clock.seconds());
    }

    @Test
    void nothingIsSpentBeforeTheFirstPhase() {
        assertEquals(Map.of(), new PhaseClock(() -> now).seconds());
    }
}
