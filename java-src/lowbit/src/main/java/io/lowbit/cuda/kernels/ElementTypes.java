package io.lowbit.cuda.kernels;

import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.DType;

/** Element types as the kernels number them. */
public final class ElementTypes {
    /** Or'd to the type of y: the product is added to what y holds, in f32, and the sum rounded once. For activations as they come. */
    public static final int ADD = 0x100;

    private ElementTypes() {}

    /**
     * 0 for F32, 1 for F16, 2 for BF16.
     *
     * @throws IllegalArgumentException for other types
     */
    public static int of(DType type) {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case BF16 -> 2;
            default -> throw new IllegalArgumentException("expected F32, F16 or BF16, got " + type);
        };
    }

    /** Of a y in 8-bit floats: 3 for E4M3, 4 for E5M2. */
    static int ofCodes(ActivationScaling scaling) {
        return scaling.e5m2() ? 4 : 3;
    }

    /** True for the types of {@link #ofCodes}. */
    static boolean isCode(int type) {
        return type == 3 || type == 4;
    }

    /** Bytes of an element of a type as {@link #of} numbers it, with or without {@link #ADD}. */
    public static int bytes(int type) {
        return (type & ~ADD) == 0 ? 4 : 2;
    }
}
