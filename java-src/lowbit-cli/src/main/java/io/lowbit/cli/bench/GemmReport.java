package io.lowbit.cli.bench;

import java.time.Instant;
import java.util.List;

/**
 * A whole run.
 *
 * @param when it began
 * @param plan what was asked for
 * @param backend name
 * @param backendDescription hardware and kernels, in one line
 * @param threads that computed
 * @param vectorBits width of the CPU kernels, 0 for scalar code
 * @param limitsMethod how the limits were measured
 * @param before limits at the start, without load
 * @param after limits at the end; null while cases of the plan are missing
 * @param results one for each case, in the plan's order
 */
public record GemmReport(
        Instant when,
        GemmPlan plan,
        String backend,
        String backendDescription,
        int threads,
        int vectorBits,
        String limitsMethod,
        Ceiling before,
        Ceiling after,
        List<GemmResult> results) {
    /**
     * The limits at one moment.
     *
     * @param dram read bandwidth over the DRAM set, bytes a second
     * @param l3 read bandwidth over the L3 set, bytes a second; null where there is no such set
     * @param flops FMA peak, operations a second
     */
    public record Ceiling(Samples dram, Samples l3, Samples flops) {}

    /** True where no case was refused. */
    public boolean right() {
        return results.stream().noneMatch(GemmResult.Refused.class::isInstance);
    }
}
