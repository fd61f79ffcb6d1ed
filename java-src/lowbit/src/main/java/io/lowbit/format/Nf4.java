package io.lowbit.format;

/** bitsandbytes' 4-bit NormalFloat: quantiles of the normal distribution, as the exact f32 bits of its table. */
public final class Nf4 {
    private static final int[] BITS = {
        0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0, 0xbe91a24d, 0xbe3d353f, 0xbdba7871, 0x00000000,
        0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a, 0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3, 0x3f800000
    };
    private static final float[] VALUES = new float[16];

    static {
        for (int i = 0; i < 16; i++) {
            VALUES[i] = Float.intBitsToFloat(BITS[i]);
        }
    }

    private Nf4() {}

    /** The value of {@code code} (0..15), in [−1, 1]. */
    public static float decode(int code) {
        return VALUES[code];
    }
}
