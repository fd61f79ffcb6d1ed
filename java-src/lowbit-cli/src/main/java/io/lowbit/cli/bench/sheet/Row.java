package io.lowbit.cli.bench.sheet;

/**
 * One case.
 *
 * @param name of what was timed: a scheme's label or a peer's name
 * @param peer true for what is not Lowbit's
 * @param kernel what ran; null where it has no name
 * @param n output features
 * @param k input features
 * @param m rows of x
 * @param set where the weights came from: {@code dram}, {@code l3} or {@code cold}
 * @param reason null where it was timed; else why it was not
 * @param median nanoseconds of one product
 * @param min the least
 * @param p95 that 95 % do not exceed
 * @param noise how far repeated medians lay apart, as a part of the median
 * @param bytes that one product moves at least
 * @param bandwidth ceiling, bytes a second
 * @param peak ceiling for its arithmetic, operations a second; NaN where not known
 * @param peakName of that ceiling, for the plot
 * @param first nanoseconds of a peer's first algorithm in brief replays; NaN where that was not timed
 * @param mhz clock just after the timed calls; NaN where not known
 */
public record Row(
        String name, boolean peer, String kernel, long n, long k, int m, String set, String reason, double median, double min, double p95,
        double noise, double bytes, double bandwidth, double peak, String peakName, double first, double mhz) {
    /** A case that was timed in one way, at a clock that nobody knows. */
    public Row(String name, boolean peer, String kernel, long n, long k, int m, String set, String reason, double median, double min, double p95,
            double noise, double bytes, double bandwidth, double peak, String peakName) {
        this(name, peer, kernel, n, k, m, set, reason, median, min, p95, noise, bytes, bandwidth, peak, peakName, Double.NaN, Double.NaN);
    }

    /** A case without a time. */
    public static Row untimed(String name, boolean peer, String kernel, long n, long k, int m, String set, String reason) {
        return new Row(name, peer, kernel, n, k, m, set, reason, Double.NaN, Double.NaN, Double.NaN, Double.NaN, Double.NaN, Double.NaN,
                Double.NaN, null);
    }

    /** True where there is a time. */
    public boolean timed() {
        return reason == null;
    }

    /** Multiplications and additions: 2·M·N·K. */
    public double flops() {
        return 2.0 * m * n * k;
    }

    /** Operations a second. */
    public double rate() {
        return flops() / (median * 1e-9);
    }

    /** Bytes a second. */
    public double throughput() {
        return bytes / (median * 1e-9);
    }

    /** Operations for each byte that has to be moved. */
    public double intensity() {
        return flops() / bytes;
    }

    /** The least time that both ceilings allow, as a part of the time taken. */
    public double ofRoofline() {
        double least = Math.max(bytes / bandwidth, Double.isNaN(peak) ? 0 : flops() / peak);
        return least / (median * 1e-9);
    }

    /** What makes it the same case in another run. */
    public String key() {
        return name + " " + n + "x" + k + " M=" + m + " " + set;
    }
}
