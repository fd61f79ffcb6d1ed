package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** How long is timed, and what the replays say. */
class TimingTest {
    private static final TimingRule RULE = TimingRule.of(50, 0.6, 0.1, false);

    @Test
    void shortLaunchesFillAReplay() {
        TimingRule.Counts counts = RULE.counts(5_000, 30);
        assertEquals(120, counts.launches(), "4 rounds of 30 launches of 5 µs are the first to reach half a millisecond");
        assertEquals(50, counts.replays());
        assertFalse(counts.capped());
        assertEquals(200, RULE.counts(5_000, 200).launches(), "every copy has its launch");
    }

    @Test
    void theCapTakesLaunchesFirstThenReplays() {
        TimingRule.Counts some = RULE.counts(3e6, 8);
        assertEquals(4, some.launches());
        assertEquals(50, some.replays());
        TimingRule.Counts few = RULE.counts(20e6, 8);
        assertEquals(2, few.launches(), "at least two copies in turn");
        assertEquals(15, few.replays());
        assertTrue(few.capped());
        assertEquals(3, RULE.counts(500e6, 1).replays());
    }

    @Test
    void slowLaunchesGetFewCopies() {
        assertEquals(30, RULE.copies(5_000, 30));
        assertEquals(7, RULE.copies(10e6, 30));
        assertEquals(1, RULE.copies(2e9, 30));
    }

    @Test
    void noiseIsTheDriftOfTheMedians() {
        double[] steady = new double[50];
        Arrays.fill(steady, 100);
        assertEquals(0, Timing.of(steady, 1, 1, false).noise());
        double[] drifting = steady.clone();
        Arrays.fill(drifting, 40, 50, 110);
        assertEquals(0.1, Timing.of(drifting, 1, 1, false).noise(), 1e-12);
        double[] spikes = steady.clone();
        for (int i = 0; i < 50; i += 10) {
            spikes[i] = 500;
        }
        assertEquals(0, Timing.of(spikes, 1, 1, false).noise(), "single spikes move no median");
        assertEquals(500, Timing.of(spikes, 1, 1, false).nanos().p95() + 0, 1e-12);
        assertEquals(0.2, Timing.of(new double[] {90, 100, 110}, 1, 1, true).noise(), 1e-12);
    }

    @Test
    void briefReplaysLaunchOnEveryCopyOnce() {
        TimingRule brief = RULE.brief();
        assertTrue(brief.apart());
        assertEquals(16, brief.counts(8_000, 16).launches());
        assertEquals(2, brief.counts(5.2e6, 2).launches());
        assertEquals(50, brief.counts(2.5e6, 2).replays());
        assertEquals(28, brief.counts(5.2e6, 2).replays(), "0.3 s at most");
        assertEquals(RULE.restNanos(), brief.restNanos());
        assertEquals(0, brief.restless().restNanos());
    }

    /** On a card of 800 TFLOP/s: few rows, many on a small matrix, many on a large one. */
    @Test
    void aCaseIsWhollyBeforeThePowerLimitActsOrWhollyBehind() {
        assertEquals(Load.LIGHT, Load.of(2.0 * 64 * 28672 * 8192, 800e12));
        assertEquals(Load.BURST, Load.of(2.0 * 2048 * 8192 * 8192, 800e12));
        assertEquals(Load.SUSTAINED, Load.of(2.0 * 2048 * 28672 * 8192, 800e12));
        assertEquals(Load.LIGHT, Load.of(1e15, Double.NaN), "no peak is known");
        assertEquals(0, Load.LIGHT.rule(RULE).restNanos());
        assertEquals(0.1e9, Load.BURST.rule(RULE).restNanos());
        assertEquals(5e6, Load.BURST.rule(RULE).warmNanos());
        TimingRule.Counts burst = Load.BURST.rule(RULE).counts(350_000, 6);
        assertEquals(2, burst.launches(), "50 replays of 6 launches are 105 ms: the copies take turns");
        assertEquals(50, burst.replays());
        TimingRule sustained = Load.SUSTAINED.rule(RULE);
        assertEquals(0, sustained.restNanos());
        assertTrue(sustained.settled());
        assertTrue(sustained.brief().settled(), "in the same state");
        assertFalse(RULE.settled());
        assertEquals(1e6, RULE.brief().warmNanos());
    }

    /** A clock that comes down after 60 ms of work, in two steps. */
    @Test
    void sustainedWorkIsTimedOnceItsClockStays() {
        Settling settling = new Settling();
        double[] parts = {20e6, 20e6, 20e6, 22e6, 24e6, 24e6, 24.1e6, 24e6, 24e6};
        int taken = 0;
        do {
            settling.part(parts[taken++], 10);
        } while (!settling.done());
        assertEquals(8, taken);
        Settling never = new Settling();
        int count = 0;
        do {
            never.part(20e6 + 1e6 * (count++ % 2), 10);
        } while (!never.done());
        assertEquals(25, count, "half a second and no more");
    }

    @Test
    void aPlanWeighsItsCases() {
        GpuPlan plan = MadeUpRun.whole().plan();
        assertEquals(6 * 2, plan.size(), "five peers and MXFP4, which has no FP8 product");
        assertEquals(6 * (GpuPlan.weight(MadeUpRun.SHAPE, 1) + GpuPlan.weight(MadeUpRun.SHAPE, 64)), plan.weight(), 1e-9);
    }

    @Test
    void senselessRulesAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> TimingRule.of(0, 1, 0, false));
        assertThrows(IllegalArgumentException.class, () -> TimingRule.of(50, 0, 0, false));
        assertThrows(IllegalArgumentException.class, () -> TimingRule.of(50, 1, -1, false));
    }

    @Test
    void datasheetsAreFoundByName() {
        assertEquals(989e12, Datasheet.of("NVIDIA H100 80GB HBM3").bf16());
        assertEquals(756e12, Datasheet.of("NVIDIA H100 PCIe").bf16());
        assertEquals("L40S", Datasheet.of("NVIDIA L40S").gpu());
        assertEquals("L4", Datasheet.of("NVIDIA L4").gpu());
        assertEquals(null, Datasheet.of("NVIDIA L40"));
    }
}
