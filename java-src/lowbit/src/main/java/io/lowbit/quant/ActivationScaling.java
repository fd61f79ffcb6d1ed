package io.lowbit.quant;

/** Which activations share a scale when they are quantized to E4M3: s = amax/448, or 1 where all are zero. */
public enum ActivationScaling {
    /** The whole matrix. */
    TENSOR,
    /** A row: one token. */
    ROW,
    /** 128 neighbours of a row. */
    BLOCK128
}
