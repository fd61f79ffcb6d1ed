package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;

/** A kernel made ready for one layer: functions loaded, weights described. Used by any number of threads at once. */
public interface Product {
    /** The kernel. */
    ProductKernel kernel();

    /**
     * Adds y = x · Wᵀ (+ bias), or y = y + x · Wᵀ (+ bias), to {@code stream}. Allocates nothing, on the device or in the Java heap,
     * and may be captured (a {@link LazyProduct} from its second use on).
     *
     * @param rows M: rows of x and y, at least 1
     * @param x address of {@code [M, K]}; not looked at where activations are quantized
     * @param xType F32, F16 or BF16 as {@link ElementTypes} numbers them
     * @param y address of {@code [M, N]}
     * @param yType as {@code xType}; with {@link ElementTypes#ADD} y is added to, which products of quantized activations do not know
     * @param activations address of the quantized activations, laid out as {@link Fp8Activations} says; 0 where x is not
     *     quantized
     */
    void enqueue(Stream stream, long rows, long x, int xType, long y, int yType, long activations);

    /**
     * Adds y₈ = code(y · (1/s)) of y = x · Wᵀ (+ bias) to {@code stream}, for a kernel that {@link ProductKernel#writesCodes}: rounded
     * to the nearest, ties to even, saturating. Written are codes and scale of quantized activations {@code [M, N]}; what lies between
     * N and the pitch is not.
     *
     * @param rows M, at least 1
     * @param y address of {@link Fp8Activations#bytes}(M, N) bytes
     * @param yScaling {@code TENSOR} or {@code TENSOR_E5M2}
     * @param yScale s
     * @param activations as in {@link #enqueue}
     */
    default void enqueueCodes(Stream stream, long rows, long y, ActivationScaling yScaling, float yScale, long activations) {
        throw new UnsupportedOperationException(kernel().name() + " does not write codes");
    }
}
