package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import java.lang.foreign.MemorySegment;

/**
 * An order in which weights lie in device memory. A layer holds its weights once, in one layout: that of the fastest
 * kernel for its scheme and size. So that every product still has an exact kernel, also for activations that the fast
 * ones do not take, <b>each layout comes with a {@code value(matrix, row, col)} in {@code weights.cuh} and a line in
 * {@code LOWBIT_SCHEMES}</b>: {@code gemv}, {@code linear} and {@code dequantize} are then compiled for it. No second copy
 * of the weights is ever made, and {@code forward} allocates nothing.
 *
 * <p>A layout is packed on the device by a kernel; {@link #pack(QuantizedMatrix, MemorySegment)} is its definition on the
 * CPU and gives the same bytes, which a test compares for every scheme and shape that fits.
 */
public interface WeightLayout {
    /** Short and unique, for example {@code canonical}. */
    String name();

    /** True where the matrix can be laid out so. Beware of {@link MatrixShape#columns} and {@link MatrixShape#divided}. */
    boolean fits(MatrixShape w);

    /**
     * True where kernels for quantized activations take their codes with the columns of every 16 interleaved: 0 8 1 9 … 7 15,
     * as {@link Fp8Activations} makes them on demand.
     */
    default boolean interleaved() {
        return false;
    }

    /**
     * Where the original column of each column lies, I32 {@code [K]}, in a layout that sorts the columns of a matrix with
     * act-order by group; 0 where they lie as they came. What multiplies takes the columns of x in that order.
     *
     * @param address of the weights
     */
    default long order(MatrixShape w, long address) {
        return 0;
    }

    /** The last part of the exact kernels' names for this layout, for example {@code int4_group}. */
    String suffix(Scheme scheme);

    /** Device bytes of a matrix, all parts together. */
    long bytes(MatrixShape w);

    /**
     * The definition of the layout.
     *
     * @param out {@link #bytes} bytes of zeros
     */
    void pack(QuantizedMatrix w, MemorySegment out);

    /**
     * The same on the device: adds it to {@code stream}.
     *
     * @param canonical {@code struct Matrix} of the canonical layout, whose parts are on the device
     * @param out address of {@link #bytes} bytes of zeros, a multiple of 256
     */
    void pack(Kernels kernels, Stream stream, MatrixShape w, MemorySegment canonical, long out);

    /** Writes the {@code struct Matrix} of a matrix that lies at {@code address} in this layout. */
    void describe(MatrixShape w, long address, MemorySegment matrix);
}
