package io.lowbit.backend;

import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

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

    /**
     * Quantizes where the backend computes; on a device with the bits of {@link Quantizer}, which does it by default.
     *
     * @param weights {@code [N, K]}, F32, F16 or BF16
     * @param arena where the parts of the result are allocated
     * @throws IllegalArgumentException as {@link Quantizer#quantize}, and for options that the backend does not know
     */
    default QuantizedMatrix quantize(Tensor weights, Scheme scheme, QuantizeOptions options, Arena arena) {
        return Quantizer.quantize(weights, scheme, options, arena);
    }

    /**
     * The weights as floats, computed where the backend computes; with the bits of {@link Dequantizer}.
     *
     * @param dtype F32, F16 or BF16
     * @return {@code [N, K]} in {@code arena}
     */
    default Tensor dequantize(QuantizedMatrix matrix, DType dtype, Arena arena) {
        return Dequantizer.dequantize(matrix, dtype, arena);
    }

    /** Closes the backend and every layer it loaded; a second call does nothing. */
    @Override
    void close();
}
