package io.lowbit.cli.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;

/** A report as nested maps and lists, with everything in it; SI units, times in nanoseconds. */
public final class ReportJson {
    private ReportJson() {}

    static Map<String, Object> document(GemmReport report) {
        GemmPlan plan = report.plan();
        Map<String, Object> d = new LinkedHashMap<>();
        d.put("benchmark", "gemm");
        d.put("when", report.when());
        d.put("complete", report.after() != null);
        d.put("backend", report.backend());
        d.put("backend_description", report.backendDescription());
        d.put("threads", report.threads());
        d.put("vector_bits", report.vectorBits());
        d.put("jdk", Runtime.version());
        d.put("dtype", plan.dtype());
        d.put("seconds", plan.seconds());
        d.put("min_runs", plan.minRuns());
        d.put("warm_seconds", plan.warmSeconds());
        d.put("seed", plan.seed());
        d.put("rounds", GemmBench.ROUNDS);
        d.put("dram_set_bytes", plan.sets().dramBytes());
        d.put("batch_set_bytes", plan.sets().batchBytes());
        d.put("l3_set_bytes", plan.sets().l3Bytes());
        d.put("method", ReportText.method(report));
        d.put("limits_before", ceiling(report.before()));
        d.put("limits_after", report.after() == null ? null : ceiling(report.after()));
        List<Object> cases = new ArrayList<>();
        report.results().forEach(result -> cases.add(entry(report, result)));
        d.put("cases", cases);
        return d;
    }

    private static Map<String, Object> entry(GemmReport report, GemmResult result) {
        GemmCase gemm = result.gemm();
        Map<String, Object> e = new LinkedHashMap<>();
        e.put("name", gemm.scheme().label());
        e.put("n", gemm.shape().n());
        e.put("k", gemm.shape().k());
        e.put("m", gemm.m());
        e.put("set", gemm.regime().name().toLowerCase(Locale.ROOT));
        switch (result) {
            case GemmResult.Refused r -> {
                e.put("status", "wrong");
                e.put("reason", r.reason());
            }
            case GemmResult.Skipped s -> {
                e.put("status", "skipped");
                e.put("reason", s.reason());
            }
            case GemmResult.Timed t -> {
                e.put("status", "timed");
                e.put("copies", t.copies());
                e.put("stored_bytes", t.storedBytes());
                e.put("layer_bytes", t.layerBytes());
                e.put("nanos", samples(t.nanos()));
                e.put("noise", t.noise());
                e.put("nanos_first_round", t.firstRound());
                e.put("nanos_last_round", t.lastRound());
                e.put("bytes_per_second", t.bytesPerSecond());
                e.put("flops_per_second", t.flopsPerSecond());
                e.put("limit", t.againstBandwidth() ? "read bandwidth" : "fma peak");
                e.put("of_limit", t.ofLimit());
                e.put("of_roofline", t.ofRoofline());
                e.put("bound_by", t.boundByFlops() ? "fma peak" : "read bandwidth");
                e.put("limit_bytes_per_second", samples(t.bandwidth()));
                e.put("limit_flops_per_second", samples(t.flops()));
                OptionalDouble target = Targets.of(gemm, report.backend(), report.vectorBits(), report.threads());
                e.put("target", target.isPresent() ? (Object) target.getAsDouble() : null);
                e.put("target_met", target.isPresent() && !t.disturbed() ? (Object) (t.ofLimit() >= target.getAsDouble()) : null);
                e.put("allocated_bytes_per_call", t.allocatedPerCall());
                e.put("worst_error_of_bound", t.worstError());
                e.put("steady", t.steady());
                e.put("others_processors", t.othersProcessors());
                e.put("disturbed", t.disturbed());
            }
        }
        return e;
    }

    private static Map<String, Object> ceiling(GemmReport.Ceiling c) {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("dram_bytes_per_second", samples(c.dram()));
        m.put("l3_bytes_per_second", c.l3() == null ? null : samples(c.l3()));
        m.put("flops_per_second", samples(c.flops()));
        return m;
    }

    /** Repeated measurements. */
    public static Map<String, Object> samples(Samples s) {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("count", s.count());
        m.put("median", s.median());
        m.put("min", s.min());
        m.put("p95", s.p95());
        m.put("max", s.max());
        return m;
    }
}
