package io.lowbit.llm;

/** Root-mean-square norm: y = x / √(mean(x²) + ε) · weight. */
record RmsNorm(float[] weight, double epsilon) {
    /** y[yAt + i] from x[xAt + i], for i in [0, weight.length); x and y may be the same. */
    void apply(float[] x, int xAt, float[] y, int yAt) {
        int n = weight.length;
        float inverse = (float) (1 / Math.sqrt(ArrayMath.sumOfSquares(x, xAt, n) / n + epsilon));
        for (int i = 0; i < n; i++) {
            y[yAt + i] = x[xAt + i] * inverse * weight[i];
        }
    }
}
