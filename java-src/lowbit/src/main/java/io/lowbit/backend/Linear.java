package io.lowbit.backend;

import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

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
     * Computes y = y + x · Wᵀ (+ bias): a residual connection. What {@link #forward} would have rounded to y's type is added to y
     * in f32, and the sum is rounded once; the error is bounded as there, with y as one more term.
     *
     * <p>The layers of every backend do it in the same pass as the product, allocate nothing in steady state and give the bits of
     * {@code forward} to F32 followed by the addition. That is also what this default does, for layers that wrap others.
     *
     * @param x as for {@link #forward}
     * @param y F32, F16 or BF16 {@code [M, N]}, added to
     * @throws IllegalArgumentException as {@link #forward}
     * @throws IllegalStateException as {@link #forward}
     */
    default void forwardAdd(Tensor x, Tensor y) {
        try (Arena arena = Arena.ofShared()) {
            Tensor product = Tensor.allocate(arena, DType.F32, y.shape().dims());
            forward(x, product);
            for (long i = 0; i < y.elements(); i++) {
                y.setFloat(i, y.getFloat(i) + product.getFloat(i));
            }
        }
    }

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
