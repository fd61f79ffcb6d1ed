package io.lowbit.format;

/** The 8-bit floats of OCP OFP8: E4M3 (the "FN" variant without infinities) and E5M2. */
public enum Float8 {
    /** Bias 7, largest finite 448 (0x7e), NaN 0x7f and 0xff, no infinity. */
    E4M3(4, 3, 7),
    /** Bias 15, largest finite 57344 (0x7b), infinity 0x7c, NaN 0x7d to 0x7f. */
    E5M2(5, 2, 15);

    private final float[] values = new float[256];

    Float8(int exponentBits, int mantissaBits, int bias) {
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

    /** The value of {@code code} (0..255). NaN codes give the quiet NaN of their sign. */
    public float decode(int code) {
        return values[code];
    }
}
