package io.lowbit.tensor;

/**
 * Element types of a stored tensor, by the names that safetensors gives them.
 *
 * <p>The order of the constants is safetensors' alignment order: a writer lays tensors out by
 * descending ordinal, so that every tensor starts on a multiple of its element size.
 */
public enum DType {
    BOOL(8),
    F4(4),
    F6_E2M3(6),
    F6_E3M2(6),
    U8(8),
    I8(8),
    F8_E5M2(8),
    /** The OCP "FN" variant: no infinities, 0x7f and 0xff are NaN. */
    F8_E4M3(8),
    F8_E8M0(8),
    F8_E4M3FNUZ(8),
    F8_E5M2FNUZ(8),
    I16(16),
    U16(16),
    F16(16),
    BF16(16),
    I32(32),
    U32(32),
    F32(32),
    C64(64),
    F64(64),
    I64(64),
    U64(64);

    private final int bits;

    DType(int bits) {
        this.bits = bits;
    }

    /** Bits of one element. */
    public int bits() {
        return bits;
    }

    /** True for the types that {@link Tensor#getFloat} can read as weights or activations: F64, F32, F16, BF16. */
    public boolean isFloat() {
        return this == F64 || this == F32 || this == F16 || this == BF16;
    }

    /**
     * Bytes that {@code elements} elements take.
     *
     * @throws ArithmeticException when the product overflows a {@code long}
     * @throws IllegalArgumentException when sub-byte elements do not fill whole bytes
     */
    public long byteSize(long elements) {
        long total = Math.multiplyExact(elements, (long) bits);
        if ((total & 7) != 0) {
            throw new IllegalArgumentException(
                    elements + " elements of " + this + " are " + total + " bits, not a whole number of bytes");
        }
        return total >>> 3;
    }
}
