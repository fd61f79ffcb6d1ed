package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cli.Json;
import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.Samples;
import io.lowbit.cli.bench.sheet.Comparison;
import io.lowbit.cli.bench.sheet.Sheet;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** A made-up run on a GPU: ratios, text and JSON. */
class GpuReportTest {
    private static final GemmShape SHAPE = new GemmShape(4096, 4096);
    private static final DeviceLimits LIMITS = new DeviceLimits(2.4e12, 3e12, 800e12, 1500e12, "made up");

    private static GpuResult timed(String name, boolean peer, MathType math, int m, double micros) {
        double[] nanos = new double[50];
        java.util.Arrays.fill(nanos, micros * 1e3);
        return new GpuResult(name, peer, "k", math, SHAPE, m, null, false, Timing.of(nanos, 100, 50, false), 30_000_000, 0.5);
    }

    private static GpuReport report(GpuMonitor.State state, GpuResult... results) {
        GpuPlan plan = new GpuPlan(List.of(new Scheme.Mxfp4()), List.of(SHAPE), List.of(1, 64), DType.BF16, true, GpuPlan.Inputs.BOTH, true, 1 << 30,
                TimingRule.of(50, 0.6, 0.1, false), 1);
        return new GpuReport(Instant.parse("2026-11-25T10:00:00Z"), 9, Map.of("replay", 6.0), true, plan, "a GPU", "580.1", 50 << 20, "cuBLASLt 13", LIMITS, state, state,
                state == null ? "no NVML: clocks are not known" : null,
                List.of(new DispatchCost.Cost("forward", Samples.of(1500), null), new DispatchCost.Cost("launch, X", null, "no native library")),
                List.of(results));
    }

    private static GpuReport whole() {
        return report(new GpuMonitor.State(1980, 2619, 41, 218_000, 700_000),
                timed("cublasLt bf16", true, MathType.BF16, 1, 20), timed("cublasLt fp8 row fast", true, MathType.FP8, 1, 12),
                timed("cublasLt fp8 tensor fast", true, MathType.FP8, 1, 10), timed("mxfp4", false, MathType.BF16, 1, 5),
                new GpuResult("mxfp4", false, "k", MathType.BF16, SHAPE, 64, "y[0, 0] is NaN or was not written", true, null, 1, Double.POSITIVE_INFINITY),
                new GpuResult("cublasLt fp8 row precise", true, null, MathType.FP8, SHAPE, 1, "no algorithm", false, null, 1, 0));
    }

    @Test
    void speedsAreOverThePeersOfTheSameCase() {
        GpuReport report = whole();
        GpuResult mine = report.results().get(3);
        assertEquals(4, report.overBf16(mine), 1e-12);
        assertEquals(2, report.overFp8(mine), 1e-12, "the fastest FP8 product is the yardstick");
        assertTrue(Double.isNaN(report.overBf16(report.results().getFirst())));
        assertTrue(Double.isNaN(report.overFp8(report.results().get(1))));
        assertEquals(30e6 / 3e12 / 5e-6, mine.ofRoofline(LIMITS), 1e-12);
        assertFalse(mine.boundByFlops(LIMITS));
        assertFalse(report.right());
    }

    @Test
    void anUnknownPeakLeavesTheBandwidth() {
        DeviceLimits unknown = new DeviceLimits(2.4e12, 3e12, Double.NaN, Double.NaN, "none");
        assertEquals(2.0, timed("a", false, MathType.BF16, 1, 5).ofRoofline(unknown), 1e-12);
    }

    @Test
    void peaksRiseWithWhatWasFaster() {
        assertEquals(900e12, LIMITS.raised(MathType.BF16, 900e12).bf16Flops());
        assertEquals(800e12, LIMITS.raised(MathType.BF16, 700e12).bf16Flops());
        assertEquals(1600e12, LIMITS.raised(MathType.FP8, 1600e12).fp8Flops());
    }

    @Test
    void textSaysHowAndWhatWentWrong() {
        String method = String.join("\n", GpuText.method(whole()));
        assertTrue(method.contains("driver 580.1"), method);
        assertTrue(method.contains("1980 MHz, memory 2619 MHz, 41 °C, 218 of 700 W"), method);
        assertTrue(method.contains("together at least 1074 MB"), method);
        assertTrue(String.join("\n", GpuText.method(report(null))).contains("no NVML"));
        String notes = String.join("\n", GpuText.notes(whole()));
        assertTrue(notes.contains("WRONG    mxfp4 4096x4096 M=64: y[0, 0] is NaN or was not written"), notes);
        assertTrue(notes.contains("skipped  cublasLt fp8 row precise 4096x4096 M=1: no algorithm"), notes);
        assertTrue(notes.contains("dispatch forward: 1500 ns"), notes);
        assertTrue(notes.contains("dispatch launch, X: no native library"), notes);
    }

    @Test
    void jsonHasEveryCaseAndComparesWithItself() {
        GpuReport report = whole();
        String text = Json.write(GpuJson.document(report));
        JsonObject document = JsonReader.parseObject(text);
        assertEquals(6, document.list("cases").size());
        JsonObject first = (JsonObject) document.list("cases").getFirst();
        assertEquals(20_000, first.object("nanos").number("median"));
        assertEquals("cold", first.text("set"));
        Sheet sheet = GpuSheet.of(report);
        assertEquals("cublasLt bf16", sheet.yardstick());
        Comparison same = Comparison.of(sheet, text);
        assertEquals(4, same.count(Comparison.Move.SAME));
        assertEquals(4, same.lines().size());
        assertEquals(0, same.medianChange());
    }
}
