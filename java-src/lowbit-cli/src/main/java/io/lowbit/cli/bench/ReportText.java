package io.lowbit.cli.bench;

import io.lowbit.cli.Table;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/** A report for people: the method, the limits, a table for each shape and what to be careful with. */
final class ReportText {
    private ReportText() {}

    /** The table of a shape. */
    static List<String> shape(GemmReport report, GemmShape shape) {
        List<String> lines = new ArrayList<>(List.of("", "N x K = " + shape));
        lines.addAll(table(report, shape).lines());
        return lines;
    }

    /** How the figures came about. */
    static List<String> method(GemmReport report) {
        GemmPlan plan = report.plan();
        SetSizes sets = plan.sets();
        return List.of(
                "backend  " + report.backend() + ": " + report.backendDescription() + "; " + report.threads() + " threads",
                "data     weights N(0, 0.02), x N(0, 1), seed " + plan.seed() + "; x and y " + plan.dtype(),
                text("weights  DRAM: copies of the layer, together at least %.2f GB at M < 8 and %.2f GB above, one after the other", sets.dramBytes() * 1e-9,
                        sets.batchBytes() * 1e-9),
                sets.l3Bytes() == 0
                        ? "         L3: none, the system tells no L3 size"
                        : text("         L3: copies of about %.1f MB together, one copy of at most %.1f MB", sets.l3Bytes() * 1e-6, sets.l3Limit() * 1e-6),
                text("timing   host clock around each call; at least %d calls and %.2g s in %d rounds, after a warm-up until the compiler is quiet",
                        plan.minRuns(), plan.seconds(), GemmBench.ROUNDS),
                "check    y poisoned, computed and compared with an f64 reference before and after the timed calls (bound (K+2)·2^-24·Σ|x||w|",
                "         plus the rounding to y's type; every element for NaN, up to 32 x 256 for the value)",
                "limits   " + report.limitsMethod() + "; sampled between the rounds of every case, medians used",
                "         at the start " + ceiling(report.before()),
                "columns  GB/s: weight bytes as the scheme stores them, scales included; limit: read bandwidth over a set of the same size",
                "         (M = 1) or FMA peak (M > 1); of roof: least time that bandwidth and peak allow together / time; B/call: heap, all threads");
    }

    private static Table table(GemmReport report, GemmShape shape) {
        Table table = new Table("scheme", ">M", "set", ">copies", ">µs", ">min", ">p95", ">GB/s", ">GFLOP/s", ">limit", "", ">of limit", ">of roof",
                ">target", "", ">B/call");
        for (GemmResult result : report.results()) {
            GemmCase gemm = result.gemm();
            if (!gemm.shape().equals(shape)) {
                continue;
            }
            String scheme = gemm.scheme().label();
            String set = gemm.regime().name().toLowerCase(Locale.ROOT);
            switch (result) {
                case GemmResult.Refused _ -> table.row(scheme, gemm.m(), set, null, "WRONG", null, null, null, null, null, null, null, null, null, null, null);
                case GemmResult.Skipped _ -> table.row(scheme, gemm.m(), set, null, "skipped", null, null, null, null, null, null, null, null, null, null, null);
                case GemmResult.Timed t -> {
                    OptionalDouble target = Targets.of(gemm, report.backend(), report.vectorBits(), report.threads());
                    table.row(scheme, gemm.m(), set, t.copies(), micros(t.nanos().median()), micros(t.nanos().min()), micros(t.nanos().p95()),
                            text("%.1f", t.bytesPerSecond() * 1e-9), text("%.1f", t.flopsPerSecond() * 1e-9),
                            text("%.1f", (t.againstBandwidth() ? t.bandwidth() : t.flops()).median() * 1e-9),
                            t.againstBandwidth() ? "GB/s" : "GFLOP/s",
                            text("%.2f", t.ofLimit()),
                            text("%.2f%s", t.ofRoofline(), t.boundByFlops() ? " f" : " b"),
                            target.isPresent() ? text("%.2f", target.getAsDouble()) : null,
                            target.isPresent() ? verdict(t, target.getAsDouble()) : "",
                            text("%.0f", t.allocatedPerCall()));
                }
            }
        }
        return table;
    }

    /** What a reader must know before quoting a figure. */
    static List<String> notes(GemmReport report) {
        List<String> notes = new ArrayList<>();
        long met = 0;
        long missed = 0;
        long disturbed = 0;
        for (GemmResult result : report.results()) {
            switch (result) {
                case GemmResult.Refused r -> notes.add("WRONG    " + r.gemm() + ": " + r.reason());
                case GemmResult.Skipped s -> notes.add("skipped  " + s.gemm() + ": " + s.reason());
                case GemmResult.Timed t -> {
                    OptionalDouble target = Targets.of(t.gemm(), report.backend(), report.vectorBits(), report.threads());
                    if (target.isPresent() && !t.disturbed()) {
                        if (t.ofLimit() >= target.getAsDouble()) {
                            met++;
                        } else {
                            missed++;
                        }
                    }
                    if (t.disturbed()) {
                        disturbed++;
                        notes.add(text("careful  %s: disturbed, other processes took %.2f processors; its ratios say nothing, run it again on an idle machine",
                                t.gemm(), t.othersProcessors()));
                    }
                    if (!t.steady()) {
                        notes.add("careful  " + t.gemm() + ": the compiler was still at work after the warm-up");
                    }
                    double drift = t.lastRound() / t.firstRound();
                    if (drift > 1.2 || drift < 1 / 1.2) {
                        notes.add(text("careful  %s: the last round took %.2f times the first; the machine or the code was not steady", t.gemm(), drift));
                    }
                }
            }
        }
        if (report.after() != null) {
            notes.add("limits   at the end " + ceiling(report.after()));
        }
        notes.add("targets  " + met + " met, " + missed + " missed; " + disturbed + " cases disturbed");
        notes.add("of roof  b: bound by the read bandwidth, f: by the FMA peak");
        return notes;
    }

    static String verdict(GemmResult.Timed t, double target) {
        if (t.disturbed()) {
            return "disturbed";
        }
        return t.ofLimit() >= target ? "met" : "missed";
    }

    private static String ceiling(GemmReport.Ceiling c) {
        return text("DRAM %.1f GB/s, L3 %s, FMA %.1f GFLOP/s", c.dram().median() * 1e-9,
                c.l3() == null ? "unknown" : text("%.1f GB/s", c.l3().median() * 1e-9), c.flops().median() * 1e-9);
    }

    private static String micros(double nanos) {
        return nanos < 100_000 ? text("%.1f", nanos * 1e-3) : text("%.0f", nanos * 1e-3);
    }

    private static String text(String format, Object... args) {
        return String.format(Locale.ROOT, format, args);
    }
}
