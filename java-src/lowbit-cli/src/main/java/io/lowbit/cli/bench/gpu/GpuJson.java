package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.ReportJson;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A report as nested maps and lists, with everything in it; SI units, times in nanoseconds. */
public final class GpuJson {
    private GpuJson() {}

    /** The document. */
    public static Map<String, Object> document(GpuReport report) {
        GpuPlan plan = report.plan();
        Map<String, Object> d = new LinkedHashMap<>();
        d.put("benchmark", "gemm");
        d.put("when", report.when());
        d.put("seconds", report.seconds());
        d.put("complete", report.complete());
        d.put("phases", report.phases());
        d.put("backend", "cuda");
        d.put("backend_description", report.device());
        d.put("driver", report.driver());
        d.put("jdk", Runtime.version());
        d.put("peers", report.peers());
        d.put("dtype", plan.dtype());
        d.put("seed", plan.seed());
        d.put("replays", plan.rule().replays());
        d.put("l2_bytes", report.l2Bytes());
        d.put("method", GpuText.method(report));
        d.put("state_before", state(report.before()));
        d.put("state_after", state(report.after()));
        Map<String, Object> limits = new LinkedHashMap<>();
        limits.put("read_bytes_per_second", report.limits().readBytes());
        limits.put("copy_bytes_per_second", report.limits().copyBytes());
        limits.put("bf16_flops_per_second", report.limits().bf16Flops());
        limits.put("fp8_flops_per_second", report.limits().fp8Flops());
        limits.put("how", report.limits().how());
        d.put("limits", limits);
        List<Object> dispatch = new ArrayList<>();
        for (DispatchCost.Cost cost : report.dispatch()) {
            Map<String, Object> e = new LinkedHashMap<>();
            e.put("what", cost.what());
            e.put("nanos", cost.nanos() == null ? null : ReportJson.samples(cost.nanos()));
            e.put("absence", cost.absence());
            dispatch.add(e);
        }
        d.put("dispatch", dispatch);
        List<Object> cases = new ArrayList<>();
        report.results().forEach(result -> cases.add(entry(report, result)));
        d.put("cases", cases);
        return d;
    }

    private static Map<String, Object> entry(GpuReport report, GpuResult r) {
        Map<String, Object> e = new LinkedHashMap<>();
        e.put("name", r.name());
        e.put("n", r.shape().n());
        e.put("k", r.shape().k());
        e.put("m", r.m());
        e.put("set", "cold");
        e.put("peer", r.peer());
        e.put("kernel", r.kernel());
        e.put("math", r.math().label());
        e.put("status", r.timed() ? "timed" : r.wrong() ? "wrong" : "skipped");
        if (!r.timed()) {
            e.put("reason", r.reason());
            return e;
        }
        Timing t = r.timing();
        e.put("nanos", ReportJson.samples(t.nanos()));
        e.put("noise", t.noise());
        e.put("launches", t.launches());
        e.put("copies", t.copies());
        e.put("capped", t.capped());
        e.put("bytes", r.bytes());
        e.put("bytes_per_second", r.bytes() / t.seconds());
        e.put("flops_per_second", r.flops() / t.seconds());
        e.put("of_roofline", r.ofRoofline(report.limits()));
        e.put("bound_by", r.boundByFlops(report.limits()) ? "peak" : "read bandwidth");
        e.put("over_cublaslt_bf16", number(report.overBf16(r)));
        e.put("over_cublaslt_fp8", number(report.overFp8(r)));
        e.put("worst_error_of_allowed", r.worst());
        e.put("state_after", state(r.after()));
        if (r.brief() != null) {
            Map<String, Object> brief = new LinkedHashMap<>();
            brief.put("kernel", r.brief().kernel());
            brief.put("nanos", ReportJson.samples(r.brief().timing().nanos()));
            brief.put("noise", r.brief().timing().noise());
            brief.put("launches", r.brief().timing().launches());
            e.put("first_brief", brief);
        }
        return e;
    }

    private static Map<String, Object> state(GpuMonitor.State state) {
        if (state == null) {
            return null;
        }
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("sm_mhz", state.smMhz());
        m.put("memory_mhz", state.memoryMhz());
        m.put("celsius", state.celsius());
        m.put("milliwatts", state.milliwatts());
        m.put("limit_milliwatts", state.limitMilliwatts());
        return m;
    }

    private static Double number(double value) {
        return Double.isNaN(value) ? null : value;
    }
}
