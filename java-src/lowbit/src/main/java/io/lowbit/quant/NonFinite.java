package io.lowbit.quant;

/** What a quantizer does with NaN and infinite weights. */
public enum NonFinite {
    /** Refuse, naming the first such weight by index and their number. The default. */
    REJECT,
    /** Take them as zero. */
    ZERO,
    /** Keep NaN as the format's NaN; only for formats that have one (FP8). Infinities follow the overflow policy. */
    PROPAGATE
}
