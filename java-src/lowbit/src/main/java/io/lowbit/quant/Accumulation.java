package io.lowbit.quant;

/**
 * How the products of FP8 operands are summed on a GPU. There is no default: the fastest way is the least exact.
 *
 * <p>The FP8 tensor cores of Hopper align the terms of a sum to the largest and keep about 14 bits of each, so a sum that
 * stays in their accumulator loses what lies below; f32 would keep 24.
 *
 * <p>Seen on one H100 with normal operands and K up to 2064, the largest |y − y₆₄| / Σ|x||w| over 17 million sums: FAST
 * 6.5·10⁻⁴, PRECISE 1.6·10⁻⁴, with scales for every 128 of K 2.9·10⁻⁴. What can be promised in the worst case is far more:
 * up to 2⁻¹³ for each term that a larger one in the same accumulator cuts off, so K·2⁻¹³ for FAST and 128·2⁻¹³ for PRECISE.
 * Sums of one sign over a long K are where the two part; there take PRECISE.
 */
public enum Accumulation {
    /**
     * Every product and every sum as in f32: |y − y₆₄| ≤ (K+2)·2⁻²⁴·Σ|x||w|. On Hopper the FP8 tensor cores cannot do
     * this, so it runs at a small part of their speed.
     */
    EXACT,
    /**
     * Sums of 128 along K in the tensor core, added and scaled in f32: the error does not grow with K. As fast as
     * {@link #FAST} where reading the weights is what takes the time (up to about 128 rows), up to 4 % slower beyond.
     */
    PRECISE,
    /** One sum over all of K in the tensor core: the fastest for many rows; the error grows with K. */
    FAST;

    /** True where a kernel that sums as {@code other} may stand in: it is at least as exact. */
    public boolean allows(Accumulation other) {
        return other.ordinal() <= ordinal();
    }
}
