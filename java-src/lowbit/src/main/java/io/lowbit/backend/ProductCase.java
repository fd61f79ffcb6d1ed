package io.lowbit.backend;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * One product to check on any backend, against f64 sums of the weights that the scheme defines. The one table of cases
 * ({@link #all}) serves the tests and {@code lowbit selftest}; timed benchmark cases use the same {@link #worst}.
 *
 * @param scheme of the weights, random by {@link RandomMatrix}
 * @param m rows of x and y
 * @param n output features
 * @param k input features
 * @param xType type of x
 * @param yType type of y
 * @param biasType type of the bias; null for none
 * @param seed of everything random
 */
public record ProductCase(Scheme scheme, int m, int n, int k, DType xType, DType yType, DType biasType, long seed) {
    /** Rows of x in the table: one, a few, around the tile sizes, many. */
    public static final int[] ROWS = {1, 2, 3, 7, 16, 17, 64, 100};

    /** {@code [N, K]} of the table: the smallest, odd ones, whole panels, more than one tile of columns. */
    private static final int[][] SHAPES = {{1, 1}, {17, 3}, {5, 17}, {33, 127}, {64, 128}, {67, 515}};

    /** Every scheme and way of grouping that Lowbit has. */
    public static List<Scheme> schemes() {
        List<Scheme> schemes = new ArrayList<>();
        for (DType t : List.of(DType.F32, DType.F16, DType.BF16)) {
            schemes.add(new Scheme.Dense(t));
        }
        for (boolean symmetric : new boolean[] {true, false}) {
            for (Grouping g : List.of(Grouping.TENSOR, Grouping.CHANNEL, Grouping.group(32), Grouping.group(64), Grouping.group(128),
                    Grouping.group(5), Grouping.group(100))) {
                schemes.add(new Scheme.Int4(g, symmetric));
            }
            schemes.add(new Scheme.Int4(Grouping.group(32), symmetric, DType.F32));
            schemes.add(new Scheme.Int4(Grouping.group(32), symmetric, DType.BF16));
        }
        for (Scheme.Codebook c : Scheme.Codebook.values()) {
            schemes.add(new Scheme.Bnb4(c, 64, false));
            schemes.add(new Scheme.Bnb4(c, 32, true));
            schemes.add(new Scheme.Bnb4(c, 4096, false));
        }
        schemes.add(new Scheme.Mxfp4());
        schemes.add(new Scheme.Nvfp4());
        for (Scheme.Fp8Format f : Scheme.Fp8Format.values()) {
            for (Grouping g : List.of(Grouping.TENSOR, Grouping.CHANNEL, Grouping.block(128, 128), Grouping.block(7, 9))) {
                schemes.add(new Scheme.Fp8(f, g));
            }
            schemes.add(new Scheme.Mxfp8(f));
        }
        return schemes;
    }

    /** The table: every scheme over all {@link #ROWS} and shapes, types of x, y and bias taking turns; then 16-bit types alone. */
    public static List<ProductCase> all() {
        List<ProductCase> cases = new ArrayList<>();
        for (Scheme scheme : schemes()) {
            cases.addAll(of(scheme));
        }
        return cases;
    }

    /** The table's cases of one scheme. */
    public static List<ProductCase> of(Scheme scheme) {
        DType[] types = {DType.F32, DType.F16, DType.BF16};
        List<ProductCase> cases = new ArrayList<>();
        int turn = 0;
        for (int[] shape : SHAPES) {
            for (int m : ROWS) {
                DType bias = turn % 5 == 3 ? types[turn / 5 % 3] : null;
                // Two in three stay f32 on both sides, where the bound is tightest.
                DType x = turn % 3 == 1 ? types[turn / 3 % 3] : DType.F32;
                DType y = turn % 3 == 2 ? types[turn / 3 % 3] : DType.F32;
                cases.add(new ProductCase(scheme, m, shape[0], shape[1], x, y, bias, 1000 + turn));
                turn++;
            }
        }
        // 16-bit activations and even sizes: what devices have faster kernels for.
        for (DType type : new DType[] {DType.BF16, DType.F16}) {
            for (int m : new int[] {1, 5, 16, 70}) {
                cases.add(new ProductCase(scheme, m, 192, 512, type, type, turn % 2 == 0 ? null : type, 1000 + turn));
                turn++;
            }
        }
        return cases;
    }

    /**
     * Computes the product on {@code backend}.
     *
     * @return the largest |y − y₆₄| as a fraction of its bound: at most 1 when the backend keeps its promise
     */
    public double run(Backend backend) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix weights = weights(arena);
            Tensor bias = bias(arena);
            Tensor x = x(arena);
            Tensor y = Tensor.allocate(arena, yType, m, n);
            double rounding;
            try (Linear layer = backend.load(weights, bias)) {
                layer.forward(x, y);
                rounding = layer.operandRounding(m, xType, yType);
            }
            return worst(weights, bias, x, y, 1, rounding);
        }
    }

    /** The case's weights. */
    public QuantizedMatrix weights(Arena arena) {
        return RandomMatrix.of(arena, scheme, n, k, seed);
    }

    /** The case's bias, or null. */
    public Tensor bias(Arena arena) {
        return biasType == null ? null : RandomMatrix.floats(arena, new SplittableRandom(seed + 1), biasType, 1f, true, n);
    }

    /** The case's activations. */
    public Tensor x(Arena arena) {
        return RandomMatrix.floats(arena, new SplittableRandom(seed + 2), xType, 1f, true, m, k);
    }

    /**
     * {@link #worst(QuantizedMatrix, Tensor, Tensor, Tensor, int, double)} of a product that rounds no operand.
     */
    public static double worst(QuantizedMatrix weights, Tensor bias, Tensor x, Tensor y, int rowStep) {
        return worst(weights, bias, x, y, rowStep, 0);
    }

    /**
     * The largest error of y as a fraction of its bound, ((K+2)·2⁻²⁴ + u)·Σ|x||w| plus, for a bias, 2⁻²⁴·(|y₆₄| + |bias|) and the
     * rounding of y's type.
     *
     * @param rowStep looks at every {@code rowStep}-th row of W only: f64 sums of big products take long
     * @param operandRounding u: {@link Linear#operandRounding} of the product
     */
    public static double worst(QuantizedMatrix weights, Tensor bias, Tensor x, Tensor y, int rowStep, double operandRounding) {
        int n = Math.toIntExact(weights.n());
        int k = Math.toIntExact(weights.k());
        int m = Math.toIntExact(x.dim(0));
        float[] xs = x.toFloats();
        double worst = 0;
        double[] w = new double[k];
        for (int row = 0; row < n; row += rowStep) {
            for (int i = 0; i < k; i++) {
                w[i] = weights.value(row, i);
            }
            for (int r = 0; r < m; r++) {
                double sum = 0;
                double magnitude = 0;
                for (int i = 0; i < k; i++) {
                    double product = xs[r * k + i] * w[i];
                    sum += product;
                    magnitude += Math.abs(product);
                }
                double bound = ((k + 2) * 0x1p-24 + operandRounding) * magnitude;
                if (bias != null) {
                    double b = bias.getFloat(row);
                    sum += b;
                    bound += 0x1p-24 * (Math.abs(sum) + Math.abs(b));
                }
                bound += rounding(y.dtype(), Math.abs(sum) + bound);
                double error = Math.abs(y.getFloat((long) r * n + row) - sum);
                // Written so that a NaN in y counts as infinitely wrong.
                worst = Math.max(worst, error == 0 ? 0 : error <= Double.MAX_VALUE ? error / bound : Double.POSITIVE_INFINITY);
            }
        }
        return worst;
    }

    private static double rounding(DType type, double magnitude) {
        return switch (type) {
            case F16 -> Math.max(magnitude * 0x1p-11, 0x1p-25);
            case BF16 -> magnitude * 0x1p-8;
            default -> 0x1p-150;
        };
    }

    @Override
    public String toString() {
        return scheme.label() + " m=" + m + " n=" + n + " k=" + k + " x=" + xType + " y=" + yType
                + (biasType == null ? "" : " bias=" + biasType) + " seed=" + seed;
    }
}
