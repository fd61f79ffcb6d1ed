package io.lowbit.format;

/**
 * bitsandbytes' FP4, which is not OCP E2M1: bit 3 is the sign, the magnitudes of codes 0..7 are 0, 1/192, 2/3, 1,
 * 1/3, 1/2, 1/6, 1/4. Code 8 decodes to −0, as bitsandbytes' CUDA kernel does.
 */
public final class BnbFp4 {
    private static final int[] BITS = {
        0x00000000, 0x3baaaaab, 0x3f2aaaab, 0x3f800000, 0x3eaaaaab, 0x3f000000, 0x3e2aaaab, 0x3e800000
    };
    private static final float[] VALUES = new float[16];

    static {
        for (int i = 0; i < 16; i++) {
            VALUES[i] = Float.intBitsToFloat(BITS[i & 7] | (i & 8) << 28);
        }
    }

    private BnbFp4() {}

    /** The value of {@code code} (0..15), in [−1, 1]. */
    public static float decode(int code) {
        return VALUES[code];
    }
}
