package io.lowbit.backend;

/**
 * What a caller may ask of a backend.
 *
 * @param threads CPU threads that compute, the caller's included; at least 1
 */
public record BackendOptions(int threads) {
    /** One thread a processor. */
    public static final BackendOptions DEFAULT = new BackendOptions(Runtime.getRuntime().availableProcessors());

    public BackendOptions {
        if (threads < 1) {
            throw new IllegalArgumentException("threads " + threads + ": expected at least 1");
        }
    }
}
