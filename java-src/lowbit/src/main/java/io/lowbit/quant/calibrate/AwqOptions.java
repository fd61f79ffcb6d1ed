package io.lowbit.quant.calibrate;

/**
 * How AWQ searches.
 *
 * @param steps ratios tried: k / steps for k = 0 … steps − 1; 20
 * @param duo divide by the weights' magnitudes too (AutoAWQ's {@code duo_scaling})
 * @param clip after the scales, search each group's clipping range for the least output error
 * @param searchRows output rows that the search measures, spread evenly over the matrices; more cost time only
 * @param threads worker threads, at least 1; changes no bit of the result
 */
public record AwqOptions(int steps, boolean duo, boolean clip, int searchRows, int threads) {
    /** 20 steps, duo scaling, with clipping, 512 rows, one thread a processor. */
    public static final AwqOptions DEFAULT = new AwqOptions(20, true, true, 512, Runtime.getRuntime().availableProcessors());

    public AwqOptions {
        if (steps < 1 || searchRows < 1 || threads < 1) {
            throw new IllegalArgumentException("AWQ steps " + steps + ", search rows " + searchRows + ", threads " + threads + ": expected at least 1 each");
        }
    }

    public AwqOptions withDuo(boolean value) {
        return new AwqOptions(steps, value, clip, searchRows, threads);
    }

    public AwqOptions withClip(boolean value) {
        return new AwqOptions(steps, duo, value, searchRows, threads);
    }

    public AwqOptions withThreads(int value) {
        return new AwqOptions(steps, duo, clip, searchRows, value);
    }
}
