package io.lowbit.format;

/** 4-bit integers: unsigned codes 0..15 with a zero point, and two's complement −8..7. */
public final class Int4 {
    /** The zero point of symmetric schemes. */
    public static final int SYMMETRIC_ZERO = 8;

    private Int4() {}

    /** The integer that unsigned {@code code} stands for under {@code zero}: code − zero. */
    public static int decode(int code, int zero) {
        return code - zero;
    }

    /** clamp(round-to-nearest-even({@code y}) + zero, 0, 15); NaN gives {@code zero}. */
    public static int encode(float y, int zero) {
        return y != y ? zero : (int) Math.clamp(Math.rint(y) + zero, 0.0, 15.0);
    }

    /** The integer −8..7 that a two's complement nibble (0..15) stands for. */
    public static int decodeSigned(int nibble) {
        return nibble << 28 >> 28;
    }

    /** The two's complement nibble (0..15) of {@code value}, which must be in −8..7. */
    public static int encodeSigned(int value) {
        if (value < -8 || value > 7) {
            throw new IllegalArgumentException("signed INT4 " + value + ": expected -8 to 7");
        }
        return value & 15;
    }

    /** The unsigned code of zero point 8 for a two's complement nibble, and back: the sign bit flips. */
    public static int flipSign(int nibble) {
        return nibble ^ 8;
    }
}
