package io.lowbit.checkpoint;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;

/**
 * A quantized layer without its data.
 *
 * @param n rows of the matrix, those of all experts together
 * @param dtype type of the weights before they were quantized, as far as the layout tells
 * @param experts matrices that lie one after another in this one: 1 but for stacked experts
 * @param actOrder whether its columns are in groups of their own order
 */
public record LayerInfo(Scheme scheme, long n, long k, DType dtype, long experts, boolean actOrder) {
    public LayerInfo {
        if (experts < 1 || n % experts != 0) {
            throw new IllegalArgumentException(experts + " experts in " + n + " rows");
        }
    }

    /** One plain matrix. */
    public LayerInfo(Scheme scheme, long n, long k, DType dtype) {
        this(scheme, n, k, dtype, 1, false);
    }

    /** The plain matrix {@code m}. */
    public static LayerInfo of(QuantizedMatrix m, DType dtype) {
        return new LayerInfo(m.scheme(), m.n(), m.k(), dtype, 1, m.groups() != null);
    }

    /** Shape of rows of {@code columns}: {@code [N, columns]}, with experts {@code [experts, N/experts, columns]}. */
    Shape stacked(long columns) {
        return experts == 1 ? Shape.of(n, columns) : Shape.of(experts, n / experts, columns);
    }

    /** The same layer in another scheme. */
    LayerInfo with(QuantizedMatrix m) {
        return new LayerInfo(m.scheme(), n, k, dtype, experts, m.groups() != null);
    }
}
