package io.lowbit.llm;

/**
 * Element-wise functions and reductions over f32 arrays, in plain Java: C2 turns the element-wise loops into vector
 * code, and the reductions keep four scalar accumulators because it does not vectorize those.
 */
final class ArrayMath {
    /** Below this, {@link #expShifted} gives e^−87: still normal in f32, so no denormal slows the sums. */
    private static final float LOWEST = -87f;

    private ArrayMath() {}

    /**
     * out[j] = e^(x[j] − shift) for j in [from, to), where x[j] ≤ shift + 88; faithful to 1 ulp.
     *
     * <p>e^v = (e^(v/1024))^1024 in f64: a Taylor polynomial of degree 7 on |v/1024| ≤ 0.0864 (truncation below
     * 2^-43) and ten squarings, which multiply the relative error by 1024: below 2^-32, hidden by the rounding to f32.
     * No table and no exponent bits: C2 has no vector form of {@code intBitsToFloat}.
     */
    static void expShifted(float[] x, float shift, float[] out, int from, int to) {
        for (int j = from; j < to; j++) {
            out[j] = (float) exp1024th(Math.max(x[j] - shift, LOWEST) * 0x1p-10);
        }
    }

    /** out[j] = SiLU(gate[j]) · up[j] = gate[j] / (1 + e^−gate[j]) · up[j], for j in [0, n). */
    static void swiGlu(float[] gate, float[] up, float[] out, int n) {
        for (int j = 0; j < n; j++) {
            double e = exp1024th(Math.max(Math.min(-gate[j], 87f), LOWEST) * 0x1p-10);
            out[j] = (float) (gate[j] / (1.0 + e)) * up[j];
        }
    }

    /** e^(1024·y). */
    private static double exp1024th(double y) {
        double p = 1.0 + y * (1.0 + y * (1.0 / 2 + y * (1.0 / 6 + y * (1.0 / 24 + y * (1.0 / 120 + y * (1.0 / 720 + y * (1.0 / 5040)))))));
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        p *= p;
        return p * p;
    }

    /** Largest of x[from..to); −∞ when empty. */
    static float max(float[] x, int from, int to) {
        float a = Float.NEGATIVE_INFINITY;
        float b = a;
        float c = a;
        float d = a;
        int j = from;
        for (; j + 4 <= to; j += 4) {
            a = x[j] > a ? x[j] : a;
            b = x[j + 1] > b ? x[j + 1] : b;
            c = x[j + 2] > c ? x[j + 2] : c;
            d = x[j + 3] > d ? x[j + 3] : d;
        }
        for (; j < to; j++) {
            a = x[j] > a ? x[j] : a;
        }
        return Math.max(Math.max(a, b), Math.max(c, d));
    }

    /** Σ x[j] over [from, to), in f64. */
    static double sum(float[] x, int from, int to) {
        double a = 0;
        double b = 0;
        double c = 0;
        double d = 0;
        int j = from;
        for (; j + 4 <= to; j += 4) {
            a += x[j];
            b += x[j + 1];
            c += x[j + 2];
            d += x[j + 3];
        }
        for (; j < to; j++) {
            a += x[j];
        }
        return (a + b) + (c + d);
    }

    /** Σ x[j]² over [at, at+n), in f64. */
    static double sumOfSquares(float[] x, int at, int n) {
        double a = 0;
        double b = 0;
        double c = 0;
        double d = 0;
        int j = 0;
        for (; j + 4 <= n; j += 4) {
            a += (double) x[at + j] * x[at + j];
            b += (double) x[at + j + 1] * x[at + j + 1];
            c += (double) x[at + j + 2] * x[at + j + 2];
            d += (double) x[at + j + 3] * x[at + j + 3];
        }
        for (; j < n; j++) {
            a += (double) x[at + j] * x[at + j];
        }
        return (a + b) + (c + d);
    }
}
