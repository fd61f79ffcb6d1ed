package io.lowbit.format;

/**
 * The two scales of NVFP4, as torchao computes them: w = E2M1 · (tensor scale · E4M3 block scale).
 */
public final class Nvfp4Scale {
    /** The smallest block scale that is written, 2^-6: E4M3's smallest normal, torchao's {@code E4M3_EPS}. */
    public static final float MIN_BLOCK_SCALE = 0x1p-6f;

    private Nvfp4Scale() {}

    /**
     * amax / (448 · 6), so that the largest block scale is the largest E4M3 value. 1 for an all-zero matrix; never
     * below 2^-126, where f32 loses precision.
     */
    public static float tensorScale(float amax) {
        return amax == 0 ? 1f : Math.max(amax / (448f * 6f), Float.MIN_NORMAL);
    }

    /**
     * E4M3 code of a block's scale: amax / 6 / tensorScale, clamped to [2^-6, 448]. The lower bound keeps a block of
     * small weights, or of zeros, from a scale of zero.
     */
    public static int blockScale(float amax, float tensorScale) {
        float s = amax / 6f / tensorScale;
        return Float8.E4M3.encode(Math.min(Math.max(s, MIN_BLOCK_SCALE), 448f), Overflow.SATURATE);
    }
}
