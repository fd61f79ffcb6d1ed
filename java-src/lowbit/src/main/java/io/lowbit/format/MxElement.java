package io.lowbit.format;

/** Element formats of OCP MX blocks, with what their scale rules need. */
public enum MxElement {
    E2M1(2, 6f, 1),
    E4M3(8, 448f, 3),
    E5M2(15, 57344f, 2);

    final int emax;
    final float max;
    final int mantissaBits;

    MxElement(int emax, float max, int mantissaBits) {
        this.emax = emax;
        this.max = max;
        this.mantissaBits = mantissaBits;
    }

    /**
     * The E8M0 code of a block's scale, from the exponent field alone, never a logarithm.
     *
     * @param amax largest magnitude of the block; 0 gives code 0 (2^-127), NaN and infinity give 0xff
     */
    public int scaleCode(float amax, MxScaleRule rule) {
        int a = Float.floatToRawIntBits(amax) & 0x7fffffff;
        if (a >= 0x7f800000) {
            return E8M0.NAN;
        }
        int code = switch (rule) {
            case FLOOR -> (a >>> 23) - emax;
            case CEIL -> (a >>> 23) + ((a & 0x7fffff) != 0 ? 1 : 0) - emax;
            // half a unit of the element's last mantissa bit; a carry raises the exponent
            case EVEN -> ((a + (1 << (22 - mantissaBits))) >>> 23) - emax;
            case RCEIL -> E8M0.encode(amax / max, E8M0.Rounding.TOWARD_POSITIVE, Overflow.SATURATE);
        };
        return Math.clamp(code, 0, 254);
    }
}
