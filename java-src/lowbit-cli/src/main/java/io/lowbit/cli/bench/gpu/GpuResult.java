package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.GemmShape;

/**
 * What became of a case.
 *
 * @param name the contender's: a scheme's label, or the peer's name
 * @param peer true for what is not Lowbit's
 * @param kernel what ran; null where nothing did
 * @param math what the tensor cores multiply
 * @param shape N and K
 * @param m rows of x
 * @param reason null where it was timed; else why it was not
 * @param wrong true where the reason is a wrong product
 * @param timing null where it was not timed
 * @param bytes the fewest that one launch moves: weights as the scheme stores them, x and y once each
 * @param worst the largest error met, as a part of what is allowed
 * @param brief a peer's first algorithm in brief replays; null for what is Lowbit's and where it was not timed
 * @param after the device's state just after the replays; null where it is not known
 */
public record GpuResult(
        String name, boolean peer, String kernel, MathType math, GemmShape shape, int m, String reason, boolean wrong, Timing timing, long bytes,
        double worst, Brief brief, GpuMonitor.State after) {
    /**
     * What a program gets that takes the library's first suggestion, timed as most harnesses do: {@link TimingRule#brief}.
     *
     * @param kernel the algorithm
     * @param timing of it
     */
    public record Brief(String kernel, Timing timing) {}

    /** What was timed, or is Lowbit's and was not. */
    public GpuResult(String name, boolean peer, String kernel, MathType math, GemmShape shape, int m, String reason, boolean wrong, Timing timing,
            long bytes, double worst) {
        this(name, peer, kernel, math, shape, m, reason, wrong, timing, bytes, worst, null, null);
    }

    /** True where there is a time. */
    public boolean timed() {
        return timing != null;
    }

    /** Multiplications and additions of one launch: 2·M·N·K. */
    public double flops() {
        return 2.0 * m * shape.n() * shape.k();
    }

    /** The least time that bandwidth and peak together allow, as a part of the time taken. */
    public double ofRoofline(DeviceLimits limits) {
        return Math.max(bytes / limits.readBytes(), boundByFlops(limits) ? flops() / limits.flops(math) : 0) / timing.seconds();
    }

    /** True where the peak bounds the case, false where the bandwidth does. */
    public boolean boundByFlops(DeviceLimits limits) {
        return flops() / limits.flops(math) > bytes / limits.readBytes();
    }
}
