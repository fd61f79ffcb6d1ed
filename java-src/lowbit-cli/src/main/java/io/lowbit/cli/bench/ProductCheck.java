package io.lowbit.cli.bench;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.util.SplittableRandom;
import java.util.TreeSet;

/**
 * Compares y with x·Wᵀ in f64, on every element of small products and on a sample of large ones. The bound of an
 * element is |y − y₆₄| ≤ (K+2)·2⁻²⁴·Σ|x||w| plus the rounding to y's type.
 */
public final class ProductCheck {
    /** Rows of W and of x that are taken: all where there are no more. */
    private static final int WEIGHT_ROWS = 256;
    private static final int INPUT_ROWS = 32;
    private static final int EDGE = 8;

    private final QuantizedMatrix weights;
    private final long seed;
    private final long[] rows;
    private final float[][] values;

    /**
     * Decodes the sampled rows of W by {@link QuantizedMatrix#value}, the definition.
     *
     * @param seed picks the sample; the first and last rows are always in it
     */
    public ProductCheck(QuantizedMatrix weights, long seed) {
        this.weights = weights;
        this.seed = seed;
        this.rows = sample(weights.n(), WEIGHT_ROWS, seed);
        int k = Math.toIntExact(weights.k());
        this.values = new float[rows.length][k];
        for (int i = 0; i < rows.length; i++) {
            for (int j = 0; j < k; j++) {
                values[i][j] = weights.value(rows[i], j);
            }
        }
    }

    /**
     * What a check found.
     *
     * @param worst the largest error met, as a fraction of its bound
     * @param fault null where the product is right; else what is wrong, in one line
     */
    public record Verdict(double worst, String fault) {}

    /** Fills y with a NaN that no right kernel leaves there. */
    public static void poison(Tensor y) {
        y.data().fill((byte) 0xff);
    }

    /**
     * Checks that no element of y is NaN and that those of the sample keep the bound.
     *
     * @param x finite {@code [M, K]}
     * @param y {@code [M, N]}, poisoned before it was computed
     */
    public Verdict check(Tensor x, Tensor y) {
        long n = weights.n();
        for (long i = 0; i < y.elements(); i++) {
            if (Float.isNaN(y.getFloat(i))) {
                return new Verdict(Double.POSITIVE_INFINITY, "y[" + i / n + ", " + i % n + "] is NaN or was not written");
            }
        }
        int k = Math.toIntExact(weights.k());
        float[] input = new float[k];
        double worst = 0;
        for (long m : sample(x.dim(0), INPUT_ROWS, ~seed)) {
            x.readFloats(m * k, input, 0, k);
            for (int i = 0; i < rows.length; i++) {
                double sum = 0;
                double magnitude = 0;
                for (int j = 0; j < k; j++) {
                    // exact: the product of two f32 fits an f64
                    double product = (double) input[j] * values[i][j];
                    sum += product;
                    magnitude += Math.abs(product);
                }
                double bound = bound(k, 0, sum, magnitude, y.dtype());
                double got = y.getFloat(m * n + rows[i]);
                double error = Math.abs(got - sum);
                if (error > bound) {
                    return new Verdict(error / bound, String.format(java.util.Locale.ROOT,
                            "y[%d, %d] = %.9g, the reference product is %.9g: error %.3g, bound %.3g", m, rows[i], got, sum, error, bound));
                }
                worst = Math.max(worst, bound == 0 ? 0 : error / bound);
            }
        }
        return new Verdict(worst, null);
    }

    /**
     * What an element may be off by: |y − y₆₄| ≤ (K+2)·2⁻²⁴·Σ|x||w| plus roundings.
     *
     * @param operandUnit an operand may have been rounded by this part of itself
     * @param exact Σ x·w
     * @param magnitude Σ |x·w|
     * @param type of y
     */
    public static double bound(long k, double operandUnit, double exact, double magnitude, DType type) {
        double accumulated = ((k + 2) * 0x1p-24 + operandUnit) * magnitude;
        double stored = Math.abs(exact) + accumulated;
        return switch (type) {
            case F32 -> accumulated;
            // half a unit in the last place, subnormal numbers included
            case F16 -> accumulated + Math.max(stored * 0x1p-11, 0x1p-25);
            case BF16 -> accumulated + Math.max(stored * 0x1p-8, 0x1p-134);
            default -> throw new IllegalArgumentException("y is " + type + ": expected F32, F16 or BF16");
        };
    }

    /** {@code most} of 0 .. count−1 in rising order: all of them, or both ends and a random choice between. */
    public static long[] sample(long count, int most, long seed) {
        TreeSet<Long> picked = new TreeSet<>();
        if (count <= most) {
            for (long i = 0; i < count; i++) {
                picked.add(i);
            }
        } else {
            for (long i = 0; i < EDGE; i++) {
                picked.add(i);
                picked.add(count - 1 - i);
            }
            SplittableRandom random = new SplittableRandom(seed);
            while (picked.size() < most) {
                picked.add(random.nextLong(count));
            }
        }
        return picked.stream().mapToLong(Long::longValue).toArray();
    }
}
