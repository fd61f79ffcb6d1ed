package io.lowbit.format;

/** What an FP8 encoder makes of values beyond the largest finite one. */
public enum Overflow {
    /** The largest finite code of the sign, for infinities too (CUDA's {@code satfinite}). The default for weights. */
    SATURATE,
    /** NaN in E4M3, infinity in E5M2 (CUDA's {@code NOSAT}, PyTorch up to 2.11). */
    NONSATURATING
}
