package io.lowbit.quant.calibrate;

/**
 * How HQQ searches.
 *
 * @param norm p of the error Σ|w − ŵ|^p that is made small; below 1 it cares less for the outliers: 0.7
 * @param beta weight of the quadratic part at the start: 10
 * @param kappa its growth a round: 1.01
 * @param rounds most rounds; a group stops when a round does not lower its error
 * @param threads worker threads, at least 1; changes no bit of the result
 */
public record HqqOptions(double norm, double beta, double kappa, int rounds, int threads) {
    /** 0.7, 10, 1.01, 20 rounds, one thread a processor. */
    public static final HqqOptions DEFAULT = new HqqOptions(0.7, 10, 1.01, 20, Runtime.getRuntime().availableProcessors());

    public HqqOptions {
        if (!(norm > 0) || norm > 1 || !(beta > 0) || !(kappa >= 1) || rounds < 1 || threads < 1) {
            throw new IllegalArgumentException("HQQ norm " + norm + ", beta " + beta + ", kappa " + kappa + ", rounds " + rounds + ", threads " + threads
                    + ": expected 0 < norm <= 1, beta > 0, kappa >= 1, rounds and threads at least 1");
        }
    }

    public HqqOptions withNorm(double value) {
        return new HqqOptions(value, beta, kappa, rounds, threads);
    }

    public HqqOptions withThreads(int value) {
        return new HqqOptions(norm, beta, kappa, rounds, value);
    }
}
