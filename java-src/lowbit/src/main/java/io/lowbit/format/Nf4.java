package io.lowbit.format;

/**
 * bitsandbytes' 4-bit NormalFloat: quantiles of the normal distribution, as the exact f32 bits of its table. The
 * thresholds are the f32 midpoints of neighbours, also as bits: neither is ever recomputed.
 */
public final class Nf4 {
    /** Code of the value 0. */
    public static final int ZERO = 7;

    private static final int[] BITS = {
        0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0, 0xbe91a24d, 0xbe3d353f, 0xbdba7871, 0x00000000,
        0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a, 0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3, 0x3f800000
    };
    private static final int[] THRESHOLD_BITS = {
        0xbf591cd8, 0xbf1c5270, 0xbeeb8480, 0xbeadea76, 0xbe703cec, 0xbe0d38bc, 0xbd3a7871, 0x3d22faff,
        0x3df64862, 0x3e5067e0, 0x3e9582d4, 0x3ec753f9, 0x3f006d04, 0x3f248daf, 0x3f5c89da
    };
    private static final float[] VALUES = new float[16];
    private static final float[] THRESHOLDS = new float[15];

    static {
        for (int i = 0; i < 16; i++) {
            VALUES[i] = Float.intBitsToFloat(BITS[i]);
        }
        for (int i = 0; i < 15; i++) {
            THRESHOLDS[i] = Float.intBitsToFloat(THRESHOLD_BITS[i]);
        }
    }

    private Nf4() {}

    /** The value of {@code code} (0..15), in [−1, 1]. */
    public static float decode(int code) {
        return VALUES[code];
    }

    /** The threshold between {@code code} and its successor (0..14). */
    public static float threshold(int code) {
        return THRESHOLDS[code];
    }

    /**
     * The code of {@code y} (0..15): the number of thresholds that {@code y} exceeds, so that a tie goes to the lower
     * code. NaN exceeds none: 0, as in bitsandbytes.
     */
    public static int encode(float y) {
        // bisection: 8, 4, 2, 1 thresholds at a time
        int code = y > THRESHOLDS[7] ? 8 : 0;
        code += y > THRESHOLDS[code + 3] ? 4 : 0;
        code += y > THRESHOLDS[code + 1] ? 2 : 0;
        code += y > THRESHOLDS[code] ? 1 : 0;
        return code;
    }
}
