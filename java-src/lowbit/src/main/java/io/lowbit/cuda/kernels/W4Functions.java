package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.TensorMap;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;

/**
 * What the kernels of 4-bit weights and 16-bit activations share: an entry point for each type of x, how x is described to the
 * copy engine, and sizes in shared memory.
 *
 * @param bf16 for BF16 activations
 * @param f16 for F16 activations
 */
record W4Functions(Function bf16, Function f16) {
    /** Shared memory that a block may have on Hopper. */
    static final int MOST_SHARED = 227 << 10;
    /** Table of pairs of values on Hopper, spread over the banks; and one whose addresses cost less. */
    static final int TABLE_BYTES = 256 * 128;
    static final int WIDE_TABLE_BYTES = 2 * TABLE_BYTES;
    /** The map of nested scales. */
    static final int MAP_BYTES = 4 * 256;
    /** Columns of a box of x: 128 bytes, what the swizzle permutes. */
    static final int BOX_COLUMNS = 64;

    /** True for schemes of 4 bits. */
    static boolean takes(Scheme scheme) {
        return scheme instanceof Scheme.Int4 || scheme instanceof Scheme.Bnb4 || scheme instanceof Scheme.Mxfp4 || scheme instanceof Scheme.Nvfp4;
    }

    /** Names of a kernel's entry points. */
    static List<String> names(String kernel) {
        return List.of(kernel + "_bf16", kernel + "_f16");
    }

    /**
     * Loads a kernel's entry points.
     *
     * @param shared bytes of shared memory that a block may ask for
     */
    static W4Functions load(Kernels kernels, String file, String kernel, int shared) {
        List<String> names = names(kernel);
        return new W4Functions(kernels.function(file, names.getFirst()).allowShared(shared),
                kernels.function(file, names.getLast()).allowShared(shared));
    }

    /** The one for a type of x, as {@link ElementTypes} numbers it. */
    Function of(int xType) {
        return isBf16(xType) ? bf16 : f16;
    }

    /** Describes x {@code [m, k]} in boxes of {@code rows} rows. */
    static TensorMap map(Arguments arguments, Context context, long x, int xType, long m, long k, int rows) {
        return arguments.map(0).matrix(context, isBf16(xType) ? TensorMap.Type.BF16 : TensorMap.Type.F16, TensorMap.Swizzle.B128,
                TensorMap.Promotion.B128, x, k, m, 2 * k, BOX_COLUMNS, rows);
    }

    private static boolean isBf16(int xType) {
        return xType == ElementTypes.of(DType.BF16);
    }
}
