package io.lowbit.format;

/** OCP 4-bit float E2M1: sign in bit 3, magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6; no infinity, no NaN. */
public final class E2M1 {
    /** The largest magnitude. */
    public static final float MAX = 6f;

    private static final float[] VALUES = {0f, 0.5f, 1f, 1.5f, 2f, 3f, 4f, 6f, -0f, -0.5f, -1f, -1.5f, -2f, -3f, -4f, -6f};

    private E2M1() {}

    /** The value of {@code code} (0..15). */
    public static float decode(int code) {
        return VALUES[code];
    }

    /** As {@link #encode(float, NanCode)} with {@link NanCode#CANONICAL}: NaN becomes +6 (7), as PTX and ONNX define. */
    public static int encode(float x) {
        return encode(x, NanCode.CANONICAL);
    }

    /**
     * The code of {@code x} (0..15): nearest, ties to the even code, saturating at ±6, infinities too. −0 and small
     * negatives give 8 (−0).
     */
    public static int encode(float x, NanCode nan) {
        int sign = (Float.floatToRawIntBits(x) >>> 28) & 8;
        if (x != x) {
            return nan == NanCode.ML_DTYPES ? sign ^ 8 : 7;
        }
        float a = Math.abs(x);
        int code;
        if (a < 1.75f) {
            code = a <= 0.25f ? 0 : a < 0.75f ? 1 : a <= 1.25f ? 2 : 3;
        } else {
            code = a <= 2.5f ? 4 : a < 3.5f ? 5 : a <= 5f ? 6 : 7;
        }
        return sign | code;
    }
}
