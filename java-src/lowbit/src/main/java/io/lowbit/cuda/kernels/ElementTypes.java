package io.lowbit.cuda.kernels;

import io.lowbit.tensor.DType;

/** Element types as the kernels number them. */
public final class ElementTypes {
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
}
