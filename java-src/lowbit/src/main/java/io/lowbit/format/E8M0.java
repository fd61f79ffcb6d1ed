package io.lowbit.format;

/** OCP scale format E8M0: 2^(code−127); 0xff is NaN; no sign, no zero. Code 0 is 2^-127, an f32 subnormal. */
public final class E8M0 {
    /** Code of NaN. */
    public static final int NAN = 0xff;

    /** How a float that is no power of two becomes one. */
    public enum Rounding {
        /** Down in magnitude: CUDA's {@code cudaRoundZero}. */
        TOWARD_ZERO,
        /** Up in magnitude: CUDA's {@code cudaRoundPosInf}. */
        TOWARD_POSITIVE,
        /** To the nearer exponent, 1.5·2^e going up: PyTorch's cast; sign dropped, infinity NaN. */
        TORCH_NEAREST,
        /** As {@link #TORCH_NEAREST}, but zero and negatives give NaN: ml_dtypes' cast. */
        ML_DTYPES
    }

    private E8M0() {}

    /** The value of {@code code} (0..255). */
    public static float decode(int code) {
        if (code == NAN) {
            return Float.NaN;
        }
        return Float.intBitsToFloat(code == 0 ? 0x00400000 : code << 23);
    }

    /**
     * The code (0..255) of |{@code x}|. Zero gives 0 (but for {@link Rounding#ML_DTYPES}), NaN gives 0xff.
     * {@code overflow} decides for magnitudes that round beyond 2^127: 0xfe saturating, else 0xff; PyTorch and
     * ml_dtypes know the latter only.
     */
    public static int encode(float x, Rounding rounding, Overflow overflow) {
        int u = Float.floatToRawIntBits(x);
        int a = u & 0x7fffffff;
        if (a > 0x7f800000 || (rounding == Rounding.ML_DTYPES && (u <= 0))) {
            return NAN;
        }
        int code;
        if (a == 0x7f800000) {
            code = NAN;
        } else {
            int exponent = a >>> 23;
            int mantissa = a & 0x7fffff;
            boolean up = switch (rounding) {
                case TOWARD_ZERO -> false;
                // 2^-127 itself (a subnormal, mantissa 0x400000) is code 0
                case TOWARD_POSITIVE -> exponent == 0 ? mantissa > 0x400000 : mantissa != 0;
                case TORCH_NEAREST, ML_DTYPES -> exponent == 0 ? mantissa > 0x400000 : mantissa >= 0x400000;
            };
            code = up ? exponent + 1 : exponent;
        }
        return code == NAN && overflow == Overflow.SATURATE ? NAN - 1 : code;
    }
}
