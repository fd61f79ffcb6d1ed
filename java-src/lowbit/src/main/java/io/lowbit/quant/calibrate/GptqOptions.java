package io.lowbit.quant.calibrate;

import io.lowbit.quant.ClipSearch;

/**
 * How GPTQ walks over a matrix.
 *
 * @param actOrder columns in the order of falling diag(H), equals in their own order (GPTQ's {@code desc_act})
 * @param staticGroups with {@code actOrder}: groups of neighbouring columns as the matrix has them, their scales from the
 *     weights before any update; otherwise groups follow the order of the walk, and the result has a group index
 * @param damping added to the diagonal, as a part of its mean: 0.01
 * @param clip search for each group's clipping range, or null for the whole range
 * @param threads worker threads, at least 1; changes no bit of the result
 */
public record GptqOptions(boolean actOrder, boolean staticGroups, double damping, ClipSearch clip, int threads) {
    /** No act-order, damping 0.01, no clip search, one thread a processor. */
    public static final GptqOptions DEFAULT = new GptqOptions(false, false, 0.01, null, Runtime.getRuntime().availableProcessors());

    public GptqOptions {
        if (!(damping > 0) || damping >= 1) {
            throw new IllegalArgumentException("damping " + damping + ": expected a part of the mean diagonal between 0 and 1");
        }
        if (staticGroups && !actOrder) {
            throw new IllegalArgumentException("static groups are for act-order; ask for both or for neither");
        }
        if (threads < 1) {
            throw new IllegalArgumentException("threads " + threads + ": expected at least 1");
        }
    }

    public GptqOptions withActOrder(boolean value) {
        return new GptqOptions(value, staticGroups, damping, clip, threads);
    }

    public GptqOptions withStaticGroups(boolean value) {
        return new GptqOptions(actOrder, value, damping, clip, threads);
    }

    public GptqOptions withClip(ClipSearch value) {
        return new GptqOptions(actOrder, staticGroups, damping, value, threads);
    }

    public GptqOptions withThreads(int value) {
        return new GptqOptions(actOrder, staticGroups, damping, clip, value);
    }
}
