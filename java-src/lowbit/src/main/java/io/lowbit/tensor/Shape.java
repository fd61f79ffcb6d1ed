package io.lowbit.tensor;

import java.util.Arrays;

/** Dimensions of a tensor, slowest first (row-major). Rank 0 is a scalar of one element; any dimension may be zero. */
public final class Shape {
    private final long[] dims;
    private final long elements;

    private Shape(long[] dims) {
        this.dims = dims;
        // Overflow is judged without the zeros: [2^40, 2^40, 0] is refused although its product is 0.
        long product = 1;
        boolean empty = false;
        for (long d : dims) {
            if (d < 0) {
                throw new IllegalArgumentException("dimension " + d + " of shape " + Arrays.toString(dims) + " is negative");
            }
            if (d == 0) {
                empty = true;
            } else {
                product = Math.multiplyExact(product, d);
            }
        }
        this.elements = empty ? 0 : product;
    }

    /**
     * A shape of the given dimensions.
     *
     * @throws IllegalArgumentException when one is negative
     * @throws ArithmeticException when the product of the non-zero ones overflows a {@code long}
     */
    public static Shape of(long... dims) {
        return new Shape(dims.clone());
    }

    public int rank() {
        return dims.length;
    }

    /** Dimension {@code axis}, counted from 0. */
    public long dim(int axis) {
        return dims[axis];
    }

    /** The dimensions, as a copy. */
    public long[] dims() {
        return dims.clone();
    }

    /** Number of elements: the product of the dimensions, 1 for rank 0. */
    public long elements() {
        return elements;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Shape s && Arrays.equals(dims, s.dims);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(dims);
    }

    /** For example {@code [4096, 11008]}. */
    @Override
    public String toString() {
        return Arrays.toString(dims);
    }
}
