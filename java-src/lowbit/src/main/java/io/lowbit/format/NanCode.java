package io.lowbit.format;

/** Which code a NaN becomes. The references disagree, so it is an argument. */
public enum NanCode {
    /** One NaN, the sign dropped: FP8 0x7f, E2M1 (which has no NaN) +6. What CUDA's conversions give; the default. */
    CANONICAL,
    /** The sign is kept: FP8 0x7f or 0xff, as PyTorch's casts; E2M1 as {@link #CANONICAL}. */
    SIGNED,
    /** As ml_dtypes: E4M3 0x7f or 0xff, E5M2 0x7e or 0xfe, E2M1 −0 for positive NaN and +0 for negative. */
    ML_DTYPES
}
