package io.lowbit.quant;

/**
 * How activations are quantized to 8 bits for a product: which of them share a scale, and to which type. A scale is 1 where
 * all that share it are zero.
 */
public enum ActivationScaling {
    /** E4M3, the whole matrix: s = amax/448. */
    TENSOR("e4m3-tensor"),
    /** E4M3, a row: one token; s = amax/448. */
    ROW("e4m3-row"),
    /** E4M3, 128 neighbours of a row; s = amax/448. */
    BLOCK128("e4m3-block128"),
    /**
     * E4M3, 128 neighbours of a row, the scale rounded up to a power of two from 2⁻¹²⁶ on: UE8M0, as DeepSeek-V3.1 has it. The
     * codes lose up to a factor of two in range for a scale that multiplies exactly.
     */
    BLOCK128_UE8M0("e4m3-block128_ue8m0"),
    /** INT8, a row: s = amax/127, codes −127 … 127. A NaN becomes 0. Multiplied with INT4 weights only. */
    ROW_INT8("int8-row");

    private final String label;

    ActivationScaling(String label) {
        this.label = label;
    }

    /** Type and what shares a scale, for example {@code e4m3-row}. */
    public String label() {
        return label;
    }

    /** True for E4M3. */
    public boolean fp8() {
        return this != ROW_INT8;
    }

    /** True where 128 neighbours of a row share a scale. */
    public boolean blocks() {
        return this == BLOCK128 || this == BLOCK128_UE8M0;
    }
}
