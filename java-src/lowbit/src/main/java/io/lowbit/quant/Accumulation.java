package io.lowbit.quant;

/**
 * How the products of FP8 operands are summed on a GPU. There is no default: the fastest way is the least exact.
 *
 * <p>The FP8 tensor cores of Hopper align the terms of a sum to the largest and keep about 14 bits of each, so a sum that
 * stays in their accumulator loses what lies below; f32 would keep 24.
 *
 * <p>Largest |y − y₆₄| / Σ|x||w| seen, normal operands / operands that are all positive (K = 8192), y in F32, one H100:
 * FAST 2⁻¹¹ / 2⁻⁸, PRECISE 2⁻¹³ / 2⁻¹³, EXACT 2⁻²² / 2⁻²².
 */
public enum Accumulation {
    /**
     * Every product and every sum as in f32: |y − y₆₄| ≤ (K+2)·2⁻²⁴·Σ|x||w|. On Hopper the FP8 tensor cores cannot do
     * this, so it runs at a small part of their speed.
     */
    EXACT,
    /**
     * Sums of 128 along K in the tensor core, added and scaled in f32: the error does not grow with K. As fast as
     * {@link #FAST} where reading the weights is what takes the time (up to about 128 rows).
     */
    PRECISE,
    /** One sum over all of K in the tensor core: the fastest for many rows; the error grows with K. */
    FAST;

    /** True where a kernel that sums as {@code other} may stand in: it is at least as exact. */
    public boolean allows(Accumulation other) {
        return other.ordinal() <= ordinal();
    }
}
