package io.lowbit.format;

/** The 8-bit floats of OCP OFP8: E4M3 (the "FN" variant without infinities) and E5M2. */
public enum Float8 {
    /** Bias 7, largest finite 448 (0x7e), NaN 0x7f and 0xff, no infinity. */
    E4M3(4, 3, 7, 0x7e, 0x7f),
    /** Bias 15, largest finite 57344 (0x7b), infinity 0x7c, NaN 0x7d to 0x7f. */
    E5M2(5, 2, 15, 0x7b, 0x7c);

    private final int mantissaBits;
    private final int bias;
    private final int maxCode;
    private final int overflowCode;
    private final float[] values = new float[256];

    Float8(int exponentBits, int mantissaBits, int bias, int maxCode, int overflowCode) {
        this.mantissaBits = mantissaBits;
        this.bias = bias;
        this.maxCode = maxCode;
        this.overflowCode = overflowCode;
        int top = (1 << exponentBits) - 1;
        for (int code = 0; code < 256; code++) {
            int exponent = (code >> mantissaBits) & top;
            int mantissa = code & ((1 << mantissaBits) - 1);
            float magnitude;
            if (exponentBits == 4 ? (code & 0x7f) == 0x7f : exponent == top && mantissa != 0) {
                magnitude = Float.NaN;
            } else if (exponentBits == 5 && exponent == top) {
                magnitude = Float.POSITIVE_INFINITY;
            } else if (exponent == 0) {
                magnitude = Math.scalb((float) mantissa, 1 - bias - mantissaBits);
            } else {
                magnitude = Math.scalb((float) (mantissa | 1 << mantissaBits), exponent - bias - mantissaBits);
            }
            values[code] = Float.intBitsToFloat(Float.floatToIntBits(magnitude) | (code & 0x80) << 24);
        }
    }

    /** Stored mantissa bits: 3 or 2. */
    public int mantissaBits() {
        return mantissaBits;
    }

    /** Exponent bias: 7 or 15. */
    public int bias() {
        return bias;
    }

    /** Code of the largest finite value: 0x7e or 0x7b. */
    public int maxCode() {
        return maxCode;
    }

    /** The largest finite value: 448 or 57344. */
    public float max() {
        return values[maxCode];
    }

    /** Code that a magnitude beyond the largest finite one gets: the largest finite code, NaN (E4M3) or infinity (E5M2). */
    public int overflowCode(Overflow overflow) {
        return overflow == Overflow.SATURATE ? maxCode : overflowCode;
    }

    /** Code of a NaN with sign bit {@code sign} (0 or 0x80). */
    public int nanCode(NanCode nan, int sign) {
        return switch (nan) {
            case CANONICAL -> 0x7f;
            case SIGNED -> sign | 0x7f;
            case ML_DTYPES -> sign | (this == E4M3 ? 0x7f : 0x7e);
        };
    }

    /** The value of {@code code} (0..255). NaN codes give the quiet NaN of their sign. */
    public float decode(int code) {
        return values[code];
    }

    /**
     * The code of {@code x}; NaN becomes 0x7f, whatever its sign ({@link NanCode#CANONICAL}), because that is what
     * a GPU's conversion gives and Lowbit promises the same bits on CPU and GPU.
     */
    public int encode(float x, Overflow overflow) {
        return encode(x, overflow, NanCode.CANONICAL);
    }

    /**
     * The code of {@code x}, rounded to nearest even, by integer arithmetic alone. A magnitude that rounds beyond
     * the largest finite value follows {@code overflow}, infinities too.
     */
    public int encode(float x, Overflow overflow, NanCode nan) {
        int u = Float.floatToRawIntBits(x);
        int sign = (u >>> 24) & 0x80;
        int a = u & 0x7fffffff;
        if (a > 0x7f800000) {
            return nanCode(nan, sign);
        }
        if (a == 0x7f800000) {
            return sign | overflowCode(overflow);
        }
        // x = m · 2^(e−150); q = m shifted to units of the target's last place, e' = max(exponent, smallest normal)
        int e = a >>> 23;
        int m = a & 0x7fffff;
        if (e == 0) {
            e = 1;
        } else {
            m |= 0x800000;
        }
        int exponent = Math.max(e - 127, 1 - bias);
        int shift = exponent - mantissaBits - (e - 150);
        int q = 0;
        if (shift < 26) {
            int half = 1 << (shift - 1);
            int rest = m & ((1 << shift) - 1);
            q = m >>> shift;
            if (rest > half || (rest == half && (q & 1) != 0)) {
                q++;
            }
        }
        // a carry out of q moves into the exponent by itself
        int code = q == 0 ? 0 : ((exponent + bias - 1) << mantissaBits) + q;
        return sign | (code > maxCode ? overflowCode(overflow) : code);
    }
}
