package io.lowbit.quant;

/** NaN or infinite weights where {@link NonFinite#REJECT} asks for finite ones. */
public final class NonFiniteWeightsException extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;

    private final long row;
    private final long col;
    private final float value;
    private final long count;

    /**
     * @param row of the first such weight in row-major order
     * @param col of the first such weight
     * @param value of the first such weight
     * @param count how many weights of the matrix are NaN or infinite
     */
    public NonFiniteWeightsException(long row, long col, float value, long count) {
        super((count == 1 ? "1 weight is" : count + " weights are") + " NaN or infinite, the first is " + value + " at [" + row + ", " + col
                + "]; repair the weights, or quantize with NonFinite.ZERO to take them as zero");
        this.row = row;
        this.col = col;
        this.value = value;
        this.count = count;
    }

    /** Row of the first such weight in row-major order. */
    public long row() {
        return row;
    }

    /** Column of the first such weight. */
    public long col() {
        return col;
    }

    /** The first such weight: NaN or an infinity. */
    public float value() {
        return value;
    }

    /** How many weights of the matrix are NaN or infinite. */
    public long count() {
        return count;
    }
}
