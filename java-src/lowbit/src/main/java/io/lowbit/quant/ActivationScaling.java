package io.lowbit.quant;

/** Which activations share a scale when they are quantized to E4M3: s = amax/448, or 1 where all are zero. */
public enum ActivationScaling {
    /** The whole matrix. */
    TENSOR,
    /** A row: one token. */
    ROW,
    /** 128 neighbours of a row. */
    BLOCK128,
    /**
     * 128 neighbours of a row, the scale rounded up to a power of two from 2⁻¹²⁶ on: UE8M0, as DeepSeek-V3.1 has it. The
     * codes lose up to a factor of two in range for a scale that multiplies exactly.
     */
    BLOCK128_UE8M0;

    /** True where 128 neighbours of a row share a scale. */
    public boolean blocks() {
        return this == BLOCK128 || this == BLOCK128_UE8M0;
    }
}
