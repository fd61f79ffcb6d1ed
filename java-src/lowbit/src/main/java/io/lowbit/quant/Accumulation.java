package io.lowbit.quant;

/**
 * How the products of FP8 operands are summed on a GPU. There is no default: the fastest way is the least exact.
 *
 * <p>The FP8 tensor cores of Hopper align the terms of a sum to the largest and keep about 14 bits of each, so a sum that
 * stays in their accumulator loses what lies below; f32 would keep 24.
 *
 * <p>Seen on one H100, the largest |y − y₆₄| / Σ|x||w| over 16 384 sums each, operands quantized by row and channel (blocks: 1×128 and
 * 128×128), normal numbers and the same without their signs:
 *
 * <table>
 * <caption>Largest relative error</caption>
 * <tr><th>K</th><th>FAST</th><th>PRECISE</th><th>PRECISE, blocks</th><th>FAST, one sign</th><th>PRECISE, one sign</th><th>PRECISE, blocks, one sign</th></tr>
 * <tr><td>1024</td><td>2.6·10⁻⁴</td><td>3.9·10⁻⁵</td><td>3.4·10⁻⁵</td><td>1.8·10⁻²</td><td>9.5·10⁻⁴</td><td>9.5·10⁻⁴</td></tr>
 * <tr><td>4096</td><td>3.4·10⁻⁴</td><td>1.4·10⁻⁵</td><td>1.6·10⁻⁵</td><td>7.6·10⁻²</td><td>7.6·10⁻⁴</td><td>8.0·10⁻⁴</td></tr>
 * <tr><td>16384</td><td>3.7·10⁻⁴</td><td>6.4·10⁻⁶</td><td>6.6·10⁻⁶</td><td>2.5·10⁻¹</td><td>7.2·10⁻⁴</td><td>7.2·10⁻⁴</td></tr>
 * </table>
 *
 * <p>So FAST is for terms of both signs; a long sum of one sign stops growing when what is added falls below the accumulator's last
 * bit, and there PRECISE is the only one of use. Over 17 million sums with K up to 2064 and normal operands: FAST 6.5·10⁻⁴, PRECISE
 * 1.6·10⁻⁴, blocks 2.9·10⁻⁴. What can be promised in the worst case: up to 2⁻¹³ for each term that a larger one in the same
 * accumulator cuts off, so K·2⁻¹³ for FAST and 128·2⁻¹³ for PRECISE.
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
