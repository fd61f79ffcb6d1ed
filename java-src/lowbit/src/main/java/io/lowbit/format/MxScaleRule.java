package io.lowbit.format;

/** How the power-of-two scale X of an MX block follows from the block's largest magnitude (torchao's names). */
public enum MxScaleRule {
    /** X = 2^(floor(log2 amax) − emax): OCP MX 1.0 §6.3. Clips magnitudes in (max, 2^(emax+1))·X. The default. */
    FLOOR,
    /** X = 2^ceil(log2(amax / max)): never clips (NVIDIA's rule). */
    RCEIL,
    /** X = 2^(ceil(log2 amax) − emax). */
    CEIL,
    /** The mantissa of amax is first rounded to the element's mantissa width, then FLOOR. */
    EVEN
}
