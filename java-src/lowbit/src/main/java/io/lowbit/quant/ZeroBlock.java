package io.lowbit.quant;

/** What the codes of an all-zero block are in bitsandbytes' 4-bit formats. Readers take both. */
public enum ZeroBlock {
    /**
     * The code of 0: NF4 7, FP4 0, as bitsandbytes' CPU code writes. Zeros stay zeros also under double
     * quantization, where a block's absmax of 0 comes back as a small number. The default.
     */
    ZERO_CODE,
    /**
     * Code 0, as bitsandbytes' CUDA kernel writes (0 · 1/0 is NaN, which exceeds no threshold): in NF4 that is −1,
     * so under double quantization zeros come back as the negated small absmax. For byte parity with CUDA only.
     */
    CUDA
}
