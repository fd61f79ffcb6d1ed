package io.lowbit.format;

/**
 * bitsandbytes' FP4, which is not OCP E2M1: bit 3 is the sign, the magnitudes of codes 0..7 are 0, 1/192, 2/3, 1,
 * 1/3, 1/2, 1/6, 1/4. Code 8 decodes to −0, as bitsandbytes' CUDA kernel does.
 */
public final class BnbFp4 {
    /** Code of the value 0. */
    public static final int ZERO = 0;

    private static final int[] BITS = {
        0x00000000, 0x3baaaaab, 0x3f2aaaab, 0x3f800000, 0x3eaaaaab, 0x3f000000, 0x3e2aaaab, 0x3e800000
    };
    /** The codes by rising magnitude. */
    private static final int[] ORDER = {0, 1, 6, 7, 4, 5, 2, 3};
    // The literals of bitsandbytes' CUDA tree, not the midpoints: most checkpoints were made with them.
    private static final float[] THRESHOLDS = {
        0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f
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

    /** The threshold between the magnitudes of rank {@code rank} and {@code rank + 1} (0..6), by rising magnitude. */
    public static float threshold(int rank) {
        return THRESHOLDS[rank];
    }

    /** The code (0..7) of the magnitude of rank {@code rank} (0..7). */
    public static int codeOfRank(int rank) {
        return ORDER[rank];
    }

    /**
     * The code of {@code y} (0..15) by bitsandbytes' CUDA thresholds; a tie goes to the smaller magnitude. A negative
     * that rounds to zero gives 8, −0 itself gives 0 (the sign is {@code y < 0}), NaN gives 0.
     */
    public static int encode(float y) {
        float a = Math.abs(y);
        int rank = a > THRESHOLDS[3] ? 4 : 0;
        rank += a > THRESHOLDS[rank + 1] ? 2 : 0;
        rank += a > THRESHOLDS[rank] ? 1 : 0;
        return ORDER[rank] | (y < 0 ? 8 : 0);
    }
}
