package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cli.Json;
import io.lowbit.cli.Output;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

@DisplayName("Benchmark report (seed 3)")
class ReportTest {
    private static GemmReport report(long wrongFrom) {
        return report(wrongFrom, new GemmBench.Listener() {});
    }

    private static GemmReport report(long wrongFrom, GemmBench.Listener listener) {
        FakeHost host = new FakeHost();
        FakeBackend backend = new FakeBackend(host);
        backend.wrongFrom = wrongFrom;
        GemmPlan plan = new GemmPlan(List.of(new Scheme.Mxfp4(), new Scheme.Dense(DType.F32)), List.of(new GemmShape(7, 40)), List.of(1, 8),
                EnumSet.allOf(Regime.class), DType.F32, 0, 30, 0, 3, new SetSizes(4000, 2000, 600, 800));
        return new GemmBench(backend, 2, new FakeLimits(1e6, 1e7),
                (weights, scheme, arena) -> Quantizer.quantize(weights, scheme, QuantizeOptions.DEFAULT.withThreads(1), arena), host).run(plan, listener);
    }

    /** What a command prints of a report. */
    @Command(name = "print")
    static final class Print implements Runnable {
        @Mixin
        private Output out;

        private final GemmReport report;

        Print(GemmReport report) {
            this.report = report;
        }

        @Override
        public void run() {
            ReportText.method(report).forEach(out::line);
            report.plan().shapes().forEach(shape -> ReportText.shape(report, shape).forEach(out::line));
            ReportText.notes(report).forEach(out::line);
            out.document(ReportJson.document(report));
        }

        static String of(GemmReport report, String... args) {
            StringWriter text = new StringWriter();
            assertEquals(0, new CommandLine(new Print(report)).setOut(new PrintWriter(text, true)).execute(args));
            return text.toString();
        }
    }

    @Test
    void jsonIsOneDocumentWithEveryCase() {
        // the reader is strict: anything after the document is refused
        JsonObject d = JsonReader.parseObject(Print.of(report(Long.MAX_VALUE), "--json"));
        assertEquals("gemm", d.text("benchmark"));
        assertTrue(d.object("limits_before").has("l3_bytes_per_second"));
        List<JsonObject> cases = d.list("cases").stream().map(JsonObject.class::cast).toList();
        assertEquals(6, cases.size());
        JsonObject first = cases.get(0);
        assertEquals("mxfp4", first.text("name"));
        assertEquals("timed", first.text("status"));
        assertEquals(1e6, first.object("nanos").number("median"));
        // 7 rows of 20 bytes of codes and 2 of scales
        assertEquals(154, first.integer("stored_bytes"));
        assertEquals(0.154, first.number("of_limit"), 1e-12);
        JsonObject dense = cases.get(4);
        assertEquals("skipped", dense.text("status"), "7 x 40 floats do not fit the L3 set");
        assertTrue(dense.text("reason").contains("L3"));
    }

    @Test
    void textHasATableAndSaysWhatWasWrong() {
        String right = Print.of(report(Long.MAX_VALUE));
        assertTrue(right.contains("N x K = 7x40"), right);
        assertTrue(right.lines().anyMatch(line -> line.startsWith("mxfp4   1  dram")), right);
        assertTrue(right.contains("seed 3"), right);
        String wrong = Print.of(report(100));
        assertTrue(wrong.contains("WRONG    mxfp4 7x40 M=8 dram: y[7, 6] = "), wrong);
        assertFalse(report(0).right());
    }

    /** What is heard on the way is a report of its own that says that it is not whole. */
    @Test
    void aRunTellsHowItGoesOn() {
        List<String> heard = new ArrayList<>();
        GemmReport whole = report(Long.MAX_VALUE, new GemmBench.Listener() {
            @Override
            public void began(GemmReport sofar) {
                heard.add("began " + sofar.results().size() + " " + ReportText.method(sofar).getFirst().startsWith("backend"));
            }

            @Override
            public void done(GemmResult result, Supplier<GemmReport> sofar) {
                heard.add(String.valueOf(sofar.get().results().getLast() == result));
            }

            @Override
            public void finished(GemmShape shape, GemmReport sofar) {
                JsonObject document = JsonReader.parseObject(Json.write(ReportJson.document(sofar)));
                heard.add(shape + " " + document.list("cases").size() + " " + document.bool("complete"));
            }
        });
        assertEquals(List.of("began 0 true", "true", "true", "true", "true", "true", "true", "7x40 6 false"), heard);
        assertTrue(JsonReader.parseObject(Json.write(ReportJson.document(whole))).bool("complete"));
        assertTrue(ReportText.notes(whole).stream().anyMatch(line -> line.startsWith("limits   at the end")));
    }
}
