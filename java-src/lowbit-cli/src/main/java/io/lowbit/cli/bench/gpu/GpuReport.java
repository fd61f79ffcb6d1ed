package io.lowbit.cli.bench.gpu;

import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * A whole run.
 *
 * @param when it began
 * @param seconds it took
 * @param phases seconds of it that the harness spent on what, by name
 * @param complete false while cases of the plan are missing
 * @param plan what was asked for
 * @param device hardware and kernels, in one line
 * @param driver the driver's own version; null where NVML is absent
 * @param l2Bytes of the device
 * @param peers which cuBLASLt, or why there is none
 * @param limits ceilings, raised by what was faster
 * @param before the GPU's state at the start; null where NVML is absent
 * @param after at the end, just after the last replay
 * @param monitor why no state is known; null where it is
 * @param dispatch what adding work costs; empty where it was not asked for
 * @param results in the order they were measured
 */
public record GpuReport(
        Instant when, double seconds, Map<String, Double> phases, boolean complete, GpuPlan plan, String device, String driver, long l2Bytes, String peers, DeviceLimits limits,
        GpuMonitor.State before, GpuMonitor.State after, String monitor,
        List<DispatchCost.Cost> dispatch, List<GpuResult> results) {
    /** True where no product was wrong. */
    public boolean right() {
        return results.stream().noneMatch(GpuResult::wrong);
    }

    /** Speed over cuBLASLt's BF16 product of the same shape and M; NaN where there is none, or for itself. */
    public double overBf16(GpuResult r) {
        return over(r, MathType.BF16);
    }

    /** Speed over the fastest FP8 product of cuBLASLt of the same shape and M; NaN where there is none, or for peers. */
    public double overFp8(GpuResult r) {
        return r.peer() ? Double.NaN : over(r, MathType.FP8);
    }

    private double over(GpuResult r, MathType type) {
        double least = Double.POSITIVE_INFINITY;
        for (GpuResult peer : results) {
            if (peer != r && peer.timed() && peer.peer() && peer.math() == type && peer.m() == r.m() && peer.shape().equals(r.shape())) {
                least = Math.min(least, peer.timing().seconds());
            }
        }
        return r.timed() && least < Double.POSITIVE_INFINITY ? least / r.timing().seconds() : Double.NaN;
    }
}
