package io.lowbit.checkpoint;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;

/** Type and shape of a tensor that a file holds or will hold. */
public record TensorSpec(DType dtype, Shape shape) {
    public static TensorSpec of(DType dtype, long... dims) {
        return new TensorSpec(dtype, Shape.of(dims));
    }

    public static TensorSpec of(Tensor tensor) {
        return new TensorSpec(tensor.dtype(), tensor.shape());
    }

    /** Bytes of its data. */
    public long bytes() {
        return dtype.byteSize(shape.elements());
    }

    /** For example {@code F32 [4096, 11008]}. */
    @Override
    public String toString() {
        return dtype + " " + shape;
    }
}
