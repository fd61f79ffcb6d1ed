package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.fail;

import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.util.Objects;
import java.util.stream.IntStream;

/** The product in double precision, and the bound every product has to keep. */
final class Products {
    /** Multiplications from which on it is worth to check on all processors. */
    private static final long LARGE = 1 << 18;

    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};

    private Products() {}

    /** True where the kernel makes products of such a matrix for some types of x and y. */
    static boolean some(ProductKernel kernel, MatrixShape w, ActivationScaling scaling) {
        for (DType x : TYPES) {
            for (DType y : TYPES) {
                if (kernel.supports(w, x, y, scaling)) {
                    return true;
                }
            }
        }
        return false;
    }

    /** Weights as doubles, row by row. */
    static double[][] weights(QuantizedMatrix w) {
        double[][] out = new double[Math.toIntExact(w.n())][Math.toIntExact(w.k())];
        for (int n = 0; n < out.length; n++) {
            for (int k = 0; k < out[n].length; k++) {
                out[n][k] = w.value(n, k);
            }
        }
        return out;
    }

    /** As {@link #check(String, double[][], double[][], Tensor, Tensor, double)} for a product that rounds no operand. */
    static void check(String what, double[][] w, double[][] x, Tensor bias, Tensor y) {
        check(what, w, x, bias, y, 0);
    }

    /** Fails where |y − y64| > ((K+2)·2⁻²⁴ + operandRounding)·Σ|x||w| (with the bias as one more term) + the rounding of y's type. */
    static void check(String what, double[][] w, double[][] x, Tensor bias, Tensor y, double operandRounding) {
        int n = w.length;
        IntStream elements = IntStream.range(0, x.length * n);
        boolean large = (long) x.length * n * w[0].length > LARGE;
        String wrong = (large ? elements.parallel() : elements).mapToObj(i -> wrong(w, x, bias, y, operandRounding, i / n, i % n))
                .filter(Objects::nonNull).findFirst().orElse(null);
        if (wrong != null) {
            fail(what + " " + wrong);
        }
    }

    /** What is wrong with y[m, j]; null where it is within the bound. */
    private static String wrong(double[][] w, double[][] x, Tensor bias, Tensor y, double operandRounding, int m, int j) {
        double sum = bias == null ? 0 : bias.getFloat(j);
        double magnitude = Math.abs(sum);
        for (int k = 0; k < w[j].length; k++) {
            double product = x[m][k] * w[j][k];
            sum += product;
            magnitude += Math.abs(product);
        }
        double got = y.getFloat((long) m * w.length + j);
        double bound = ((w[j].length + 2) * 0x1p-24 + operandRounding) * magnitude + rounding(y.dtype(), sum);
        return Math.abs(got - sum) <= bound ? null
                : "y[" + m + ", " + j + "] = " + got + ", in double " + sum + ": off by " + Math.abs(got - sum) + ", allowed " + bound;
    }

    /**
     * True where a kernel takes activations quantized in one of {@code scalings}, or with null as they come, for any scheme
     * of the table at a size that suits every tile.
     */
    static boolean takes(ProductKernel kernel, ActivationScaling[] scalings) {
        for (Scheme scheme : Schemes.ALL) {
            for (DType x : new DType[] {DType.F32, DType.F16, DType.BF16}) {
                for (ActivationScaling scaling : scalings == null ? new ActivationScaling[] {null} : scalings) {
                    if (kernel.supports(MatrixShape.plain(scheme, 4096, 4096), x, DType.BF16, scaling)) {
                        return true;
                    }
                }
            }
        }
        return false;
    }

    static double[][] rows(Tensor x) {
        int k = Math.toIntExact(x.dim(1));
        double[][] out = new double[Math.toIntExact(x.dim(0))][k];
        for (int m = 0; m < out.length; m++) {
            for (int i = 0; i < k; i++) {
                out[m][i] = x.getFloat((long) m * k + i);
            }
        }
        return out;
    }

    /** One unit of rounding of the output type, taken generously at the bound's edge: half an ulp, times 1.01. */
    private static double rounding(DType type, double value) {
        return switch (type) {
            case F16 -> 1.01 * (Math.abs(value) * 0x1p-11 + 0x1p-25);
            case BF16 -> 1.01 * Math.abs(value) * 0x1p-8 + 0x1p-134;
            default -> Math.abs(value) * 0x1p-24;
        };
    }
}
