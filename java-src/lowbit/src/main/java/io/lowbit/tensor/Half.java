package io.lowbit.tensor;

/** The 16-bit float types as bit patterns: IEEE binary16 (F16) and bfloat16 (BF16). */
public final class Half {
    private Half() {}

    /** F16 bits to f32, exact. */
    public static float f16ToFloat(short bits) {
        return Float.float16ToFloat(bits);
    }

    /** f32 to F16 bits, round to nearest even; overflow gives infinity. */
    public static short floatToF16(float value) {
        return Float.floatToFloat16(value);
    }

    /** BF16 bits to f32, exact. */
    public static float bf16ToFloat(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    /** f32 to BF16 bits, round to nearest even; overflow gives infinity, NaN stays a quiet NaN of its sign. */
    public static short floatToBf16(float value) {
        int u = Float.floatToRawIntBits(value);
        if ((u & 0x7fffffff) > 0x7f800000) {
            return (short) ((u >>> 16) | 0x40);
        }
        return (short) ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16);
    }
}
