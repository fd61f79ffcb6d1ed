package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.Samples;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/** A run on a GPU that never was, for tests of what is made of one. */
public final class MadeUpRun {
    private MadeUpRun() {}

    public static final GemmShape SHAPE = new GemmShape(4096, 4096);
    static final DeviceLimits LIMITS = new DeviceLimits(2.4e12, 3e12, 800e12, 1500e12, "made up");
    private static final GpuMonitor.State HOT = new GpuMonitor.State(1755, 2619, 60, 690_000, 700_000);

    static GpuResult brief(Operands operands, int m, double best, double first) {
        GpuResult r = timed(GpuBench.peerName(operands), true, operands.fp8() ? MathType.FP8 : MathType.BF16, m, best);
        return new GpuResult(r.name(), true, r.kernel(), r.math(), r.shape(), m, null, false, r.timing(), r.bytes(), r.worst(),
                new GpuResult.Brief("algo 1", timed("", true, r.math(), m, first).timing()), HOT);
    }

    static GpuResult timed(String name, boolean peer, MathType math, int m, double micros) {
        double[] nanos = new double[50];
        java.util.Arrays.fill(nanos, micros * 1e3);
        return new GpuResult(name, peer, "k", math, SHAPE, m, null, false, Timing.of(nanos, 100, 50, false), 30_000_000, 0.5, null, HOT);
    }

    static GpuReport report(GpuMonitor.State state, GpuResult... results) {
        GpuPlan plan = new GpuPlan(List.of(new Scheme.Mxfp4()), List.of(SHAPE), List.of(1, 64), DType.BF16, true, GpuPlan.Inputs.BOTH, true, 1 << 30,
                TimingRule.of(50, 0.6, 0.1, false), 1);
        return new GpuReport(Instant.parse("2026-11-25T10:00:00Z"), 9, Map.of("replay", 6.0), true, plan, "NVIDIA H100 made up", "580.1", 50 << 20, "cuBLASLt 13", LIMITS, state, state,
                state == null ? "no NVML: clocks are not known" : null,
                List.of(new DispatchCost.Cost("forward", Samples.of(1500), null), new DispatchCost.Cost("launch, X", null, "no native library")),
                List.of(results));
    }

    /** Peers, a product of ours, a wrong one and one that cuBLASLt does not have. */
    public static GpuReport whole() {
        return report(new GpuMonitor.State(1980, 2619, 41, 218_000, 700_000),
                timed("cublasLt bf16", true, MathType.BF16, 1, 20), timed("cublasLt fp8 row fast", true, MathType.FP8, 1, 12),
                timed("cublasLt fp8 tensor fast", true, MathType.FP8, 1, 10), timed("mxfp4", false, MathType.BF16, 1, 5),
                new GpuResult("mxfp4", false, "k", MathType.BF16, SHAPE, 64, "y[0, 0] is NaN or was not written", true, null, 1, Double.POSITIVE_INFINITY),
                new GpuResult("cublasLt fp8 row precise", true, null, MathType.FP8, SHAPE, 1, "no algorithm", false, null, 1, 0));
    }
}
