package io.lowbit.cli.bench.gpu;

import static io.lowbit.cli.bench.gpu.MadeUpRun.LIMITS;
import static io.lowbit.cli.bench.gpu.MadeUpRun.SHAPE;
import static io.lowbit.cli.bench.gpu.MadeUpRun.brief;
import static io.lowbit.cli.bench.gpu.MadeUpRun.report;
import static io.lowbit.cli.bench.gpu.MadeUpRun.timed;
import static io.lowbit.cli.bench.gpu.MadeUpRun.whole;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cli.Json;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cli.bench.sheet.Comparison;
import io.lowbit.cli.bench.sheet.Csv;
import io.lowbit.cli.bench.sheet.Sheet;
import org.junit.jupiter.api.Test;

/** A made-up run on a GPU: ratios, text and JSON. */
class GpuReportTest {
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

    /** Brief replays are another way of timing: only those of the same way are compared. */
    @Test
    void speedIsOverThePeersTimeInTheSameReplays() {
        GpuResult mine = timed("mxfp4", false, MathType.BF16, 1, 5);
        GpuReport report = report(null, brief(Operands.BF16, 1, 16, 15), mine);
        assertEquals(3.2, report.overBf16(mine), 1e-12);
        Sheet sheet = GpuSheet.of(report);
        assertEquals(3.2, sheet.speedUp(sheet.rows().get(1)), 1e-12);
        assertEquals(1, sheet.speedUp(sheet.rows().getFirst()), 1e-12);
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
        assertTrue(method.contains("dense peaks (H100) are 989 TFLOP/s and 1979 TFLOP/s"), method);
        assertTrue(String.join("\n", GpuText.method(report(null))).contains("no NVML"));
        String notes = String.join("\n", GpuText.notes(whole()));
        assertTrue(notes.contains("WRONG    mxfp4 4096x4096 M=64: y[0, 0] is NaN or was not written"), notes);
        assertTrue(notes.contains("skipped  cublasLt fp8 row precise 4096x4096 M=1: no algorithm"), notes);
        assertTrue(notes.contains("dispatch forward: 1500 ns"), notes);
        assertTrue(notes.contains("state    at the end 1980 MHz, memory 2619 MHz, 41 °C, 218 of 700 W"), notes);
        assertTrue(notes.contains("dispatch launch, X: no native library"), notes);
    }

    @Test
    void aTableShowsTheBriefReplaysToo() {
        String table = String.join("\n", GpuText.shape(report(null, brief(Operands.BF16, 1, 16, 18.25)), SHAPE));
        assertTrue(table.contains("18.25"), table);
        assertTrue(table.contains("0.0 %  1755  k"), table);
        assertTrue(Csv.text(GpuSheet.of(report(null, brief(Operands.BF16, 1, 16, 18.25)))).contains(",16.000,18.250,0.0000,1755,"), "in the CSV too");
        assertTrue(table.contains("N x K = 4096x4096, 9 s"), table);
        assertTrue(String.join("\n", GpuText.notes(whole())).contains("time     9 s: replay 6.0"));
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
        assertEquals(1755, first.object("state_after").integer("sm_mhz"));
        Sheet sheet = GpuSheet.of(report);
        assertEquals("cublasLt bf16", sheet.yardstick());
        Comparison same = Comparison.of(sheet, text);
        assertEquals(4, same.count(Comparison.Move.SAME));
        assertEquals(4, same.lines().size());
        assertEquals(0, same.medianChange());
    }
}
