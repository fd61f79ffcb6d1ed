package io.lowbit.format;

/** OCP scale format E8M0: 2^(code−127); 0xff is NaN; no sign, no zero. Code 0 is 2^-127, an f32 subnormal. */
public final class E8M0 {
    private E8M0() {}

    /** The value of {@code code} (0..255). */
    public static float decode(int code) {
        if (code == 0xff) {
            return Float.NaN;
        }
        return Float.intBitsToFloat(code == 0 ? 0x00400000 : code << 23);
    }
}
