package io.lowbit.quant;

import io.lowbit.format.MxScaleRule;
import io.lowbit.format.Overflow;

/**
 * How codes and scales are chosen. Nothing here changes what stored bytes mean, and {@code threads} changes no bit
 * of the result.
 *
 * @param clip null for plain round-to-nearest; INT4 only
 * @param mxScaleRule scale rule of MXFP4
 * @param overflow FP8 values beyond the largest finite one
 * @param nonFinite NaN and infinite weights
 * @param threads worker threads, at least 1
 */
public record QuantizeOptions(ClipSearch clip, MxScaleRule mxScaleRule, Overflow overflow, NonFinite nonFinite, int threads) {
    /** Round to nearest, OCP's floor rule, saturate, reject non-finite weights, one thread a processor. */
    public static final QuantizeOptions DEFAULT = new QuantizeOptions(
            null, MxScaleRule.FLOOR, Overflow.SATURATE, NonFinite.REJECT, Runtime.getRuntime().availableProcessors());

    public QuantizeOptions {
        if (threads < 1) {
            throw new IllegalArgumentException("threads " + threads + ": expected at least 1");
        }
    }

    public QuantizeOptions withClip(ClipSearch value) {
        return new QuantizeOptions(value, mxScaleRule, overflow, nonFinite, threads);
    }

    public QuantizeOptions withMxScaleRule(MxScaleRule value) {
        return new QuantizeOptions(clip, value, overflow, nonFinite, threads);
    }

    public QuantizeOptions withOverflow(Overflow value) {
        return new QuantizeOptions(clip, mxScaleRule, value, nonFinite, threads);
    }

    public QuantizeOptions withNonFinite(NonFinite value) {
        return new QuantizeOptions(clip, mxScaleRule, overflow, value, threads);
    }

    public QuantizeOptions withThreads(int value) {
        return new QuantizeOptions(clip, mxScaleRule, overflow, nonFinite, value);
    }
}
