package io.lowbit.format;

/** How a float is brought to the range of a format before it is encoded: both are found in the references. */
public enum Scaling {
    /** x / scale: compressed-tensors, GPTQ, torchao. */
    DIVIDE,
    /** x · (1 / scale), the reciprocal rounded once: bitsandbytes, DeepGEMM. */
    RECIPROCAL
}
