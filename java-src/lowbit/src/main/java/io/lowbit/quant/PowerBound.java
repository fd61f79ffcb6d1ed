package io.lowbit.quant;

/**
 * d^norm for d ≥ 0 from two small tables, never more than {@link #excess} times the power itself: a cheap bound from below
 * that spares a search most of its powers. d = m·2^e gives m^norm, by the chord between neighbours of 1024 points, times
 * 2^(e·norm).
 *
 * <p>A chord lies at most h²/8·|f''| from its function: h²/8·norm·|norm − 1|·max(1, 2^(norm − 2)) of it in relation to
 * m^norm ≥ 1. What would be smaller than a normal number counts as 0.
 */
final class PowerBound {
    private static final int POINTS = 1024;
    private static final int FRACTION_BITS = 52;
    /** Bits of the fraction between two points. */
    private static final int REST_BITS = FRACTION_BITS - 10;
    private static final double REST = 0x1p-42;
    /** Far more than the roundings of the tables and of sums of less than 2^20 terms. */
    private static final double ROUNDING = 1e-9;

    private static volatile PowerBound last = new PowerBound(ClipSearch.GPTQ.norm());

    private final double norm;
    private final double excess;
    private final double[] mantissas = new double[POINTS + 1];
    private final double[] exponents = new double[2048];

    private PowerBound(double norm) {
        this.norm = norm;
        double chord = 1.0 / POINTS / POINTS / 8 * norm * Math.abs(norm - 1) * Math.max(1, Math.pow(2, norm - 2));
        this.excess = 1 + chord + ROUNDING;
        for (int i = 0; i <= POINTS; i++) {
            mantissas[i] = Math.pow(1 + (double) i / POINTS, norm);
        }
        // those of exponent 0, zero and subnormal numbers, count as 0
        for (int e = 1; e < exponents.length - 1; e++) {
            double power = Math.pow(2, (e - 1023) * norm);
            exponents[e] = power < Double.MIN_NORMAL ? 0 : power;
        }
    }

    /** The tables of {@code norm} &gt; 0. */
    static PowerBound of(double norm) {
        PowerBound bound = last;
        if (bound.norm != norm) {
            bound = new PowerBound(norm);
            last = bound;
        }
        return bound;
    }

    /** A sum of bounds is at most so many times the sum of the powers. */
    double excess() {
        return excess;
    }

    /** The bound of |{@code d}|^norm. */
    double bound(double d) {
        long bits = Double.doubleToRawLongBits(d);
        int point = (int) (bits >>> REST_BITS) & POINTS - 1;
        double low = mantissas[point];
        return (low + (mantissas[point + 1] - low) * ((bits & (1L << REST_BITS) - 1) * REST)) * exponents[(int) (bits >>> FRACTION_BITS) & 2047];
    }
}
