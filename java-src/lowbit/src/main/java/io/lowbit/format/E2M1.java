package io.lowbit.format;

/** OCP 4-bit float E2M1: sign in bit 3, magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6; no infinity, no NaN. */
public final class E2M1 {
    private static final float[] VALUES = {0f, 0.5f, 1f, 1.5f, 2f, 3f, 4f, 6f, -0f, -0.5f, -1f, -1.5f, -2f, -3f, -4f, -6f};

    private E2M1() {}

    /** The value of {@code code} (0..15). */
    public static float decode(int code) {
        return VALUES[code];
    }
}
