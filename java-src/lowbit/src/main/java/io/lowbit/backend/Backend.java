package io.lowbit.backend;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.Tensor;

/** One way to compute: a CPU or a GPU with its memory, threads or streams. */
public interface Backend extends AutoCloseable {
    /** {@code cpu} or {@code cuda}. */
    String name();

    /** One line for people: which hardware, which kernels, and why those. */
    String description();

    /**
     * Copies a matrix into the backend's own order. The source may be freed afterwards.
     *
     * @param weights {@code [N, K]} in any scheme
     * @param bias F32, F16 or BF16 {@code [N]}, or null
     * @throws IllegalArgumentException when the bias does not fit
     * @throws IllegalStateException when the backend or a source arena is closed
     */
    Linear load(QuantizedMatrix weights, Tensor bias);

    /** {@link #load(QuantizedMatrix, Tensor)} without a bias. */
    default Linear load(QuantizedMatrix weights) {
        return load(weights, null);
    }

    /** Closes the backend and every layer it loaded; a second call does nothing. */
    @Override
    void close();
}
