package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Stream;

/** A kernel made ready for one layer: functions loaded, weights described. Used by any number of threads at once. */
public interface Product {
    /** The kernel. */
    ProductKernel kernel();

    /**
     * Adds y = x · Wᵀ (+ bias), or y = y + x · Wᵀ (+ bias), to {@code stream}. Allocates nothing, on the device or in the Java heap, and may be captured
     * (a {@link LazyProduct} from its second use on).
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
}
