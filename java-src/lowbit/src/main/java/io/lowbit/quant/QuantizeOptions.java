package io.lowbit.quant;

import io.lowbit.format.MxScaleRule;
import io.lowbit.format.Overflow;

/**
 * How codes and scales are chosen. Nothing here changes what stored bytes mean, and {@code threads} changes no bit
 * of the result.
 *
 * @param clip null for plain round-to-nearest; INT4 only
 * @param mxScaleRule scale rule of MXFP4 and MXFP8
 * @param overflow FP8 and MXFP8 values, and F16 or BF16 values of a dense scheme, beyond the largest finite one
 * @param nonFinite NaN and infinite weights
 * @param zeroBlock codes of all-zero blocks of NF4 and bitsandbytes FP4
 * @param threads worker threads, at least 1
 */
public record QuantizeOptions(
        ClipSearch clip, MxScaleRule mxScaleRule, Overflow overflow, NonFinite nonFinite, ZeroBlock zeroBlock, int threads) {
    /** Round to nearest, OCP's floor rule, saturate, reject non-finite weights, one thread a processor. */
    public static final QuantizeOptions DEFAULT = new QuantizeOptions(
            null, MxScaleRule.FLOOR, Overflow.SATURATE, NonFinite.REJECT, ZeroBlock.ZERO_CODE, Runtime.getRuntime().availableProcessors());

    public QuantizeOptions {
        if (threads < 1) {
            throw new IllegalArgumentException("threads " + threads + ": expected at least 1");
        }
    }

    /** With {@link ZeroBlock#ZERO_CODE}. */
    public QuantizeOptions(ClipSearch clip, MxScaleRule mxScaleRule, Overflow overflow, NonFinite nonFinite, int threads) {
        this(clip, mxScaleRule, overflow, nonFinite, ZeroBlock.ZERO_CODE, threads);
    }

    public QuantizeOptions withClip(ClipSearch value) {
        return new QuantizeOptions(value, mxScaleRule, overflow, nonFinite, zeroBlock, threads);
    }

    public QuantizeOptions withMxScaleRule(MxScaleRule value) {
        return new QuantizeOptions(clip, value, overflow, nonFinite, zeroBlock, threads);
    }

    public QuantizeOptions withOverflow(Overflow value) {
        return new QuantizeOptions(clip, mxScaleRule, value, nonFinite, zeroBlock, threads);
    }

    public QuantizeOptions withNonFinite(NonFinite value) {
        return new QuantizeOptions(clip, mxScaleRule, overflow, value, zeroBlock, threads);
    }

    public QuantizeOptions withZeroBlock(ZeroBlock value) {
        return new QuantizeOptions(clip, mxScaleRule, overflow, nonFinite, value, threads);
    }

    public QuantizeOptions withThreads(int value) {
        return new QuantizeOptions(clip, mxScaleRule, overflow, nonFinite, zeroBlock, value);
    }
}
