package io.lowbit.quant;

/**
 * How activations are quantized to 8 or 4 bits for a product: which of them share a scale, and to which type. A scale is 1 where
 * all that share it are zero, and never below 2⁻¹²⁶. Codes are of x / s, rounded to the nearest, ties to even, saturating.
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
    ROW_INT8("int8-row"),
    /**
     * E5M2, the whole matrix: s = amax/57344. A bit less precise than E4M3, 2⁻³ instead of 2⁻⁴, but 2³¹ from the largest to the
     * smallest magnitude instead of 2¹⁷: for values of very different size, such as gradients. Multiplied with E4M3 weights only.
     */
    TENSOR_E5M2("e5m2-tensor"),
    /** E5M2, a row: one token; s = amax/57344. Multiplied with E4M3 weights only. */
    ROW_E5M2("e5m2-row"),
    /**
     * E4M3, 32 neighbours of a row; s = amax/448 rounded up to a power of two from 2⁻¹²⁶ on: MXFP8 by the rule RCEIL. Multiplied with
     * MXFP8 weights only.
     */
    BLOCK32_E8M0("e4m3-block32_e8m0"),
    /**
     * INT4, a row: s = amax/7, codes −7 … 7. A NaN becomes 0. Multiplied with symmetric INT4 weights only, on Ada, whose tensor cores
     * take both as they are. A value is off by up to s/2, 18 times as much as with INT8: for activations made even beforehand, such as by
     * rotation.
     */
    ROW_INT4("int4-row");

    private final String label;

    ActivationScaling(String label) {
        this.label = label;
    }

    /** Type and what shares a scale, for example {@code e4m3-row}. */
    public String label() {
        return label;
    }

    /** True for E4M3 and E5M2. */
    public boolean fp8() {
        return this != ROW_INT8 && this != ROW_INT4;
    }

    /** True for E5M2. */
    public boolean e5m2() {
        return this == TENSOR_E5M2 || this == ROW_E5M2;
    }

    /** True where the whole matrix has one scale. */
    public boolean tensor() {
        return this == TENSOR || this == TENSOR_E5M2;
    }

    /** True where 128 neighbours of a row share a scale. */
    public boolean blocks() {
        return this == BLOCK128 || this == BLOCK128_UE8M0;
    }

    /** True for MXFP8: 32 neighbours of a row share a power of two. */
    public boolean mx() {
        return this == BLOCK32_E8M0;
    }
}
