package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.Table;
import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.cublaslt.CublasLtProduct;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** A report for people: the method, the ceilings, a table for each shape and what to be careful with. */
public final class GpuText {
    private GpuText() {}

    /** The table of a shape. */
    public static List<String> shape(GpuReport report, GemmShape shape) {
        List<String> lines = new ArrayList<>(List.of("", "N x K = " + shape + text(", %.0f s after the start", report.seconds())));
        lines.addAll(table(report, shape).lines());
        return lines;
    }

    /** How the figures came about. */
    public static List<String> method(GpuReport report) {
        GpuPlan plan = report.plan();
        DeviceLimits limits = report.limits();
        List<String> lines = new ArrayList<>();
        lines.add("device   " + report.device() + (report.driver() == null ? "" : ", driver " + report.driver()));
        lines.add("when     " + report.when());
        lines.add("state    " + (report.before() == null ? report.monitor() : "at the start " + report.before()));
        if (report.after() != null) {
            lines.add("         at the end   " + report.after());
        }
        lines.add("peer     " + report.peers() + (plan.peers() ? text(": the fastest of its heuristic's first %d algorithms, each tried here",
                CublasLtProduct.SUGGESTIONS) : ""));
        lines.add("data     weights N(0, 0.02), x N(0, 1), seed " + plan.seed() + "; x and y " + plan.dtype()
                + " (peers: y BF16); 8-bit activations are quantized " + (plan.inputs() == GpuPlan.Inputs.WITHIN
                        ? "beforehand for cuBLASLt, by the call that is timed for Lowbit (+quantize)" : "beforehand, cuBLASLt's and Lowbit's"));
        TimingRule rule = plan.rule();
        lines.add(text("timing   CUDA graph of launches one after the other, each on its own copy of weights, x and y: at least %d, together at least %.0f MB (%.0f x L2);",
                2, GpuBench.coldBytes(plan, report.l2Bytes()) * 1e-6, (double) GpuBench.coldBytes(plan, report.l2Bytes()) / report.l2Bytes()));
        lines.add(text("         a replay takes %.1f ms or more; %.0f ms of warm-up, then %d replays or more, at most about %.1f s a case; what may reach the",
                rule.replayNanos() * 1e-6, rule.warmNanos() * 1e-6, rule.replays(), rule.capNanos() * 1e-9));
        lines.add(text("         power limit: after %.0f ms of rest, so that it does not yet; longer work: after %.1f s of it or less, at the clock that stays",
                rule.restNanos() * 1e-6, Settling.MOST_NANOS * 1e-9));
        lines.add((rule.apart() ? "         each replay waited for, between two device events, so the host's launch of the graph counts"
                : "         all replays queued at once, device events between them") + "; noise: how far the medians of five parts of the replays lie apart");
        lines.add("check    y poisoned, computed and compared with an f64 reference before and after the timed replays; every element for NaN, up to 16 x 192");
        lines.add("         for the value: (K+2)·2^-24·Σ|x||w| plus the kernel's own rounding of operands and the rounding to y's type; peers: 2 % of the whole");
        lines.add(text("ceilings device read %.0f GB/s, device copy %.0f GB/s (read + written), BF16 %s, FP8 %s:", limits.readBytes() * 1e-9,
                limits.copyBytes() * 1e-9, tera(limits.bf16Flops()), tera(limits.fp8Flops())));
        Datasheet sheet = Datasheet.of(report.device());
        lines.add("         " + limits.how() + (sheet == null ? "" : text("; the datasheet's dense peaks (%s) are %s and %s", sheet.gpu(), tera(sheet.bf16()),
                tera(sheet.fp8()))));
        lines.add("columns  GB/s: weights as the scheme stores them, x and y, once each; of roof: least time that read bandwidth and peak allow / time,");
        lines.add("         b bound by the bandwidth, f by the peak; x bf16, x fp8: speed over cuBLASLt's BF16 and its fastest FP8 product;");
        lines.add("         MHz: the multiprocessors' clock just after the replays");
        lines.add(text("first    cuBLASLt's first suggestion in brief replays: one launch on each of copies of together %.0f MB (%d x L2), each replay waited",
                GpuBench.CACHES * report.l2Bytes() * 1e-6, GpuBench.CACHES));
        lines.add("         for, as harnesses of Python programs measure; only to be held against those: speeds are over the µs of the replays above");
        return lines;
    }

    private static Table table(GpuReport report, GemmShape shape) {
        Table table = new Table("contender", ">M", ">µs", ">min", ">p95", ">GB/s", ">TFLOP/s", ">of roof", "", ">first", ">x bf16", ">x fp8", ">noise", ">MHz", "kernel");
        for (int m : report.plan().ms()) {
            for (GpuResult r : report.results()) {
                if (!r.shape().equals(shape) || r.m() != m) {
                    continue;
                }
                if (!r.timed()) {
                    table.row(r.name(), m, r.wrong() ? "WRONG" : "skipped", null, null, null, null, null, null, null, null, null, null, null, r.kernel());
                    continue;
                }
                Timing t = r.timing();
                table.row(r.name(), m, micros(t.nanos().median()), micros(t.nanos().min()), micros(t.nanos().p95()),
                        text("%.0f", r.bytes() / t.seconds() * 1e-9), text("%.1f", r.flops() / t.seconds() * 1e-12),
                        text("%.2f", r.ofRoofline(report.limits())), r.boundByFlops(report.limits()) ? "f" : "b",
                        r.brief() == null ? null : micros(r.brief().timing().nanos().median()), ratio(report.overBf16(r)), ratio(report.overFp8(r)), text("%.1f %%%s", 100 * t.noise(), t.capped() ? " capped" : ""),
                        r.after() == null || r.after().smMhz() < 0 ? null : r.after().smMhz(), r.kernel());
            }
        }
        return table;
    }

    /** What to be careful with, and where the time went. */
    public static List<String> notes(GpuReport report) {
        List<String> notes = new ArrayList<>();
        for (GpuResult r : report.results()) {
            if (!r.timed()) {
                notes.add((r.wrong() ? "WRONG    " : "skipped  ") + r.name() + " " + r.shape() + " M=" + r.m() + ": " + r.reason());
            }
        }
        for (DispatchCost.Cost cost : report.dispatch()) {
            notes.add("dispatch " + cost.what() + ": " + (cost.nanos() == null ? cost.absence()
                    : text("%.0f ns until the call returns (min %.0f, p95 %.0f)", cost.nanos().median(), cost.nanos().min(), cost.nanos().p95())));
        }
        long capped = report.results().stream().filter(r -> r.timed() && r.timing().capped()).count();
        if (capped > 0) {
            notes.add("capped   " + capped + " slow cases have fewer than " + report.plan().rule().replays() + " replays");
        }
        if (report.after() != null) {
            notes.add("state    at the end " + report.after());
        }
        notes.add(text("time     %.0f s:", report.seconds())
                + report.phases().entrySet().stream().map(e -> text(" %s %.1f", e.getKey(), e.getValue())).collect(Collectors.joining(",")));
        return notes;
    }

    private static String ratio(double value) {
        return Double.isNaN(value) ? null : text("%.2f", value);
    }

    private static String tera(double flops) {
        return Double.isNaN(flops) ? "unknown" : text("%.0f TFLOP/s", flops * 1e-12);
    }

    private static String micros(double nanos) {
        return nanos < 100_000 ? text("%.2f", nanos * 1e-3) : text("%.1f", nanos * 1e-3);
    }

    private static String text(String format, Object... args) {
        return String.format(Locale.ROOT, format, args);
    }
}
