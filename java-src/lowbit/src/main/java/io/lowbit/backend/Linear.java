package io.lowbit.backend;

import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;

/**
 * A linear layer in a backend's memory: y = x · Wᵀ (+ bias).
 *
 * <p>Safe to call from any thread, virtual ones too. Two runs on the same input give the same bits, for any number of
 * worker threads.
 */
public interface Linear extends AutoCloseable {
    /** N: rows of the weight matrix, columns of y. */
    long outFeatures();

    /** K: columns of the weight matrix and of x. */
    long inFeatures();

    /** How the weights are stored. */
    Scheme scheme();

    /** Bytes the layer holds, repacked weights, scales and bias together. */
    long bytes();

    /**
     * Computes y = x · Wᵀ (+ bias), accumulating in f32: |y − y₆₄| ≤ ((K+2)·2⁻²⁴ + u)·Σ|x||w| plus the rounding to y's type,
     * where u is {@link #operandRounding}.
     * Allocates nothing in steady state.
     *
     * @param x F32, F16 or BF16 {@code [M, K]}; M may be 0
     * @param y F32, F16 or BF16 {@code [M, N]}, overwritten
     * @throws IllegalArgumentException when a shape or type is not as above, or x and y overlap
     * @throws IllegalStateException when the layer, its backend or a tensor's arena is closed
     */
    void forward(Tensor x, Tensor y);

    /**
     * The largest relative rounding of a product x·w before it is summed, in a product of {@code m} rows: 0 where operands
     * count as they are, as on the CPU; 2⁻⁸ where a kernel rounds scaled weights to BF16, 2⁻¹¹ to F16.
     */
    default double operandRounding(long m, DType x, DType y) {
        return 0;
    }

    /** Frees the layer's memory; a second call does nothing. */
    @Override
    void close();
}
