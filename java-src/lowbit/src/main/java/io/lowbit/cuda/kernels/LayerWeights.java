package io.lowbit.cuda.kernels;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A layer's weights and bias in device memory, as kernels see them.
 *
 * @param shape scheme and size
 * @param layout in which the weights lie
 * @param address of the weights
 * @param matrix {@code struct Matrix}, 96 bytes, to be passed by value
 * @param bias address of N elements; 0 for none
 * @param biasType as {@link ElementTypes} numbers them
 * @param arena lives as long as the layer
 */
public record LayerWeights(MatrixShape shape, WeightLayout layout, long address, MemorySegment matrix, long bias, int biasType, Arena arena) {
    /** {@link WeightLayout#order}: address of the column of x for each column, or 0. */
    long order() {
        return layout.order(shape, address);
    }
}
