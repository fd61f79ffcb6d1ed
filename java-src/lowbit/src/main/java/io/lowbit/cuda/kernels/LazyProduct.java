package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;

/** A product whose kernel is made ready by its first use, which therefore must not be captured. Used by any number of threads at once. */
final class LazyProduct implements Product {
    private final Kernels kernels;
    private final LayerWeights weights;
    private final ProductKernel kernel;
    private final ActivationScaling scaling;
    private volatile Product prepared;

    LazyProduct(Kernels kernels, LayerWeights weights, ProductKernel kernel, ActivationScaling scaling) {
        this.kernels = kernels;
        this.weights = weights;
        this.kernel = kernel;
        this.scaling = scaling;
    }

    @Override
    public ProductKernel kernel() {
        return kernel;
    }

    @Override
    public void enqueue(Stream stream, long rows, long x, int xType, long y, int yType, long activations) {
        prepared().enqueue(stream, rows, x, xType, y, yType, activations);
    }

    @Override
    public void enqueueCodes(Stream stream, long rows, long y, ActivationScaling yScaling, float yScale, long activations) {
        prepared().enqueueCodes(stream, rows, y, yScaling, yScale, activations);
    }

    private Product prepared() {
        Product product = prepared;
        if (product == null) {
            synchronized (this) {
                product = prepared;
                if (product == null) {
                    product = kernel.prepare(kernels, weights, scaling);
                    prepared = product;
                }
            }
        }
        return product;
    }
}
