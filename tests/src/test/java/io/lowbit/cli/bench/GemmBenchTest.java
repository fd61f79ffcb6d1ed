package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("Benchmark engine on a fake clock (seed 3)")
class GemmBenchTest {
    /** 7 rows of 5 floats. */
    private static final long COPY = 7 * 5 * 4;

    private static final SetSizes SETS = new SetSizes(10 * COPY, 4 * COPY, 3 * COPY, 3 * COPY);

    private final FakeHost host = new FakeHost();
    private final FakeBackend backend = new FakeBackend(host);
    private final FakeLimits limits = new FakeLimits(280_000, 140_000);

    private static GemmPlan plan(Set<Regime> regimes, SetSizes sets, Integer... ms) {
        return new GemmPlan(List.of(new Scheme.Dense(DType.F32)), List.of(new GemmShape(7, 5)), List.of(ms), regimes, DType.F32, 0.05, 30, 0.1, 3,
                sets);
    }

    private GemmReport run(GemmPlan plan) {
        return new GemmBench(backend, 2, limits, (weights, _, _) -> QuantizedMatrix.dense(weights), host).run(plan, new GemmBench.Listener() {});
    }

    private GemmResult.Timed timed(GemmPlan plan) {
        return assertInstanceOf(GemmResult.Timed.class, run(plan).results().getFirst());
    }

    @Test
    void aKnownTimeGivesKnownFigures() {
        GemmResult.Timed t = timed(plan(EnumSet.of(Regime.DRAM), SETS, 1));
        assertEquals(1e6, t.nanos().median());
        assertEquals(1e6, t.nanos().p95());
        assertEquals(COPY, t.storedBytes());
        assertEquals(140_000, t.bytesPerSecond(), 1e-6);
        assertEquals(70_000, t.flopsPerSecond(), 1e-6);
        assertEquals(0.5, t.ofLimit(), 1e-12);
        assertEquals(0.5, t.ofRoofline(), 1e-12);
        assertEquals(50, t.nanos().count(), "50 ms of calls of 1 ms");
        assertTrue(t.steady());
    }

    @Test
    void aBatchIsHeldAgainstThePeak() {
        backend.nanos = _ -> 8_000_000;
        GemmResult.Timed t = timed(plan(EnumSet.of(Regime.DRAM), SETS, 8));
        assertEquals(2 * 8 * 7 * 5 / 8e-3, t.flopsPerSecond(), 1e-6);
        assertEquals(0.5, t.ofLimit(), 1e-12);
        assertTrue(t.boundByFlops());
        assertEquals(30, t.nanos().count(), "at least 30 calls, though the time is up after 7");
    }

    @Test
    void theMedianTakesEveryTimedCallAndNoOther() {
        // every third call is slow: the median must not see it, p95 must
        backend.nanos = call -> call % 3 == 0 ? 9_000_000 : 1_000_000;
        GemmResult.Timed t = timed(plan(EnumSet.of(Regime.DRAM), SETS, 1));
        assertEquals(1e6, t.nanos().median());
        assertEquals(9e6, t.nanos().p95());
    }

    @Test
    void weightsRotateThroughASetAsLargeAsAsked() {
        GemmResult.Timed t = timed(plan(EnumSet.of(Regime.DRAM), SETS, 1));
        assertEquals(10, t.copies());
        assertEquals(10, backend.loaded.size());
        for (FakeBackend.FakeLinear layer : backend.loaded) {
            List<Long> at = layer.calledAt.stream().filter(call -> call > 0).toList();
            for (int i = 1; i < at.size(); i++) {
                assertEquals(10, at.get(i) - at.get(i - 1), "a copy comes again only after all others");
            }
            assertTrue(layer.closed, "layers are freed");
        }
        assertTrue(limits.sets.contains(10 * COPY), "the bandwidth is measured over as many bytes");
    }

    @Test
    void theL3RegimeUsesWhatFits() {
        List<GemmResult> results = run(plan(EnumSet.allOf(Regime.class), SETS, 1, 8)).results();
        assertEquals(List.of("f32 7x5 M=1 dram", "f32 7x5 M=1 l3", "f32 7x5 M=8 dram"), results.stream().map(r -> r.gemm().toString()).toList());
        assertEquals(3, ((GemmResult.Timed) results.get(1)).copies());
        assertEquals(4, ((GemmResult.Timed) results.get(2)).copies());
        SetSizes tight = new SetSizes(10 * COPY, 4 * COPY, COPY - 1, COPY - 1);
        GemmResult.Skipped skipped = assertInstanceOf(GemmResult.Skipped.class, run(plan(EnumSet.of(Regime.L3), tight, 1)).results().getFirst());
        assertTrue(skipped.reason().contains("L3"), skipped.reason());
    }

    @ParameterizedTest(name = "wrong from call {0}")
    @ValueSource(longs = {0, 40})
    void aWrongKernelIsRefusedAlsoWhereOnlyItsCompiledCodeIsWrong(long call) {
        backend.wrongFrom = call;
        GemmReport report = run(plan(EnumSet.of(Regime.DRAM), SETS, 3));
        GemmResult.Refused refused = assertInstanceOf(GemmResult.Refused.class, report.results().getFirst());
        assertTrue(refused.reason().contains("y[2, 6] = "), refused.reason());
        assertFalse(report.right());
    }

    @ParameterizedTest(name = "unwritten from call {0}")
    @ValueSource(longs = {0, 40})
    void anOutputThatIsNotWrittenIsRefused(long call) {
        backend.unwrittenFrom = call;
        GemmResult.Refused refused =
                assertInstanceOf(GemmResult.Refused.class, run(plan(EnumSet.of(Regime.DRAM), SETS, 3)).results().getFirst());
        assertTrue(refused.reason().contains("y[2, 6] is NaN or was not written"), refused.reason());
    }

    @Test
    void timingWaitsForTheCompiler() {
        backend.compilingUntil = 700;
        backend.nanos = call -> call < 700 ? 3_000_000 : 1_000_000;
        GemmResult.Timed t = timed(plan(EnumSet.of(Regime.DRAM), SETS, 1));
        assertEquals(1e6, t.nanos().max());
        assertTrue(t.steady());
        backend.compilingUntil = Long.MAX_VALUE;
        assertFalse(timed(plan(EnumSet.of(Regime.DRAM), SETS, 1)).steady(), "and says so where it gave up");
    }

    @Test
    void allocationIsCountedForEachTimedCall() {
        backend.allocatedPerCall = 48;
        assertEquals(48, timed(plan(EnumSet.of(Regime.DRAM), SETS, 1)).allocatedPerCall());
    }

    @Test
    void othersLoadOrAnImpossibleRatioDisturbs() {
        assertFalse(timed(plan(EnumSet.of(Regime.DRAM), SETS, 1)).disturbed());
        backend.othersPerCall = 250_000;
        GemmResult.Timed loaded = timed(plan(EnumSet.of(Regime.DRAM), SETS, 1));
        assertEquals(0.25, loaded.othersProcessors(), 1e-9);
        assertTrue(loaded.disturbed());
        assertEquals("disturbed", ReportText.verdict(loaded, 0.1));
        backend.othersPerCall = 0;
        // 140 bytes in 0.4 ms are 350 kB/s, the limit is 280 kB/s
        backend.nanos = _ -> 400_000;
        GemmResult.Timed impossible = timed(plan(EnumSet.of(Regime.DRAM), SETS, 1));
        assertEquals(1.25, impossible.ofLimit(), 1e-9);
        assertEquals("disturbed", ReportText.verdict(impossible, 0.5));
    }

    @Test
    void theVerdictComparesWithTheTarget() {
        GemmResult.Timed half = timed(plan(EnumSet.of(Regime.DRAM), SETS, 1));
        assertEquals("met", ReportText.verdict(half, 0.5));
        assertEquals("missed", ReportText.verdict(half, 0.51));
    }

    @Test
    void readsHowBusyTheProcessorsAre() {
        // user nice system idle iowait irq softirq steal guest guest_nice
        assertEquals((100 + 20 + 30 + 6 + 7 + 8) * 10_000_000L, HostCounters.busyNanos("cpu  100 20 30 4000 500 6 7 8 90 1"));
        assertEquals(0, HostCounters.busyNanos("intr 5"));
    }

    @Test
    void driftShowsInTheRounds() {
        backend.nanos = call -> 1_000_000 + 1_000 * call;
        GemmResult.Timed t = timed(plan(EnumSet.of(Regime.DRAM), SETS, 1));
        assertTrue(t.lastRound() > t.firstRound());
    }
}
