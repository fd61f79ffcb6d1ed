package io.lowbit.tensor;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * A typed, shaped view of a memory segment: little-endian, row-major, dense.
 *
 * <p>A tensor owns nothing. It lives as long as its segment's arena; a touch after the arena was closed is an
 * {@link IllegalStateException}. Elements may be unaligned (checkpoints are).
 *
 * @param dtype element type
 * @param shape dimensions, slowest first
 * @param data exactly {@code dtype.byteSize(shape.elements())} bytes
 */
public record Tensor(DType dtype, Shape shape, MemorySegment data) {
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Alignment of {@link #allocate}: a cache line, and the widest vector. */
    public static final long ALIGNMENT = 64;

    public Tensor {
        long expected = dtype.byteSize(shape.elements());
        if (data.byteSize() != expected) {
            throw new IllegalArgumentException("a " + dtype + " tensor of shape " + shape + " takes " + expected
                    + " bytes, the segment has " + data.byteSize());
        }
    }

    /** A zero-filled tensor in {@code arena}, aligned to {@link #ALIGNMENT} bytes. */
    public static Tensor allocate(Arena arena, DType dtype, long... dims) {
        Shape shape = Shape.of(dims);
        return new Tensor(dtype, shape, arena.allocate(dtype.byteSize(shape.elements()), ALIGNMENT));
    }

    /** An F32 tensor in {@code arena} holding a copy of {@code values}, row-major. */
    public static Tensor ofFloats(Arena arena, float[] values, long... dims) {
        Tensor t = allocate(arena, DType.F32, dims);
        if (t.elements() != values.length) {
            throw new IllegalArgumentException("shape " + t.shape + " has " + t.elements() + " elements, the array " + values.length);
        }
        MemorySegment.copy(values, 0, t.data, FLOAT, 0, values.length);
        return t;
    }

    /** Number of elements. */
    public long elements() {
        return shape.elements();
    }

    /** Shorthand for {@code shape().dim(axis)}. */
    public long dim(int axis) {
        return shape.dim(axis);
    }

    /** The same bytes under another shape of as many elements. */
    public Tensor reshape(long... dims) {
        return new Tensor(dtype, Shape.of(dims), data);
    }

    /** Rows {@code from} (inclusive) to {@code to} (exclusive) along the first dimension, as a view. */
    public Tensor rows(long from, long to) {
        long[] dims = shape.dims();
        if (dims.length == 0 || from < 0 || to < from || to > dims[0]) {
            throw new IllegalArgumentException("rows " + from + " to " + to + " of a tensor of shape " + shape);
        }
        long rowBytes = dims[0] == 0 ? 0 : data.byteSize() / dims[0];
        dims[0] = to - from;
        return new Tensor(dtype, Shape.of(dims), data.asSlice(from * rowBytes, (to - from) * rowBytes));
    }

    /**
     * Element {@code index} (row-major) as f32; F64 is rounded to nearest.
     *
     * @throws IllegalArgumentException unless {@link DType#isFloat()}
     */
    public float getFloat(long index) {
        return switch (dtype) {
            case F32 -> data.get(FLOAT, index << 2);
            case F16 -> Half.f16ToFloat(data.get(SHORT, index << 1));
            case BF16 -> Half.bf16ToFloat(data.get(SHORT, index << 1));
            case F64 -> (float) data.get(DOUBLE, index << 3);
            default -> throw notFloat();
        };
    }

    /** Stores {@code value} at {@code index} (row-major), rounded to nearest even for F16 and BF16. */
    public void setFloat(long index, float value) {
        switch (dtype) {
            case F32 -> data.set(FLOAT, index << 2, value);
            case F16 -> data.set(SHORT, index << 1, Half.floatToF16(value));
            case BF16 -> data.set(SHORT, index << 1, Half.floatToBf16(value));
            case F64 -> data.set(DOUBLE, index << 3, value);
            default -> throw notFloat();
        }
    }

    /** Element {@code index} of a one-byte type, as 0..255. */
    public int getByte(long index) {
        return data.get(ValueLayout.JAVA_BYTE, index) & 0xff;
    }

    /** Element {@code index} of an I32 or U32 tensor. */
    public int getInt(long index) {
        return data.get(INT, index << 2);
    }

    /** All elements as a new f32 array; for tests and small tensors. */
    public float[] toFloats() {
        float[] out = new float[Math.toIntExact(elements())];
        for (int i = 0; i < out.length; i++) {
            out[i] = getFloat(i);
        }
        return out;
    }

    /** Copies elements {@code from .. from+length} as f32 into {@code out} at {@code at}. */
    public void readFloats(long from, float[] out, int at, int length) {
        switch (dtype) {
            case F32 -> MemorySegment.copy(data, FLOAT, from << 2, out, at, length);
            case F16 -> {
                for (int i = 0; i < length; i++) {
                    out[at + i] = Float.float16ToFloat(data.get(SHORT, (from + i) << 1));
                }
            }
            case BF16 -> {
                for (int i = 0; i < length; i++) {
                    out[at + i] = Float.intBitsToFloat(data.get(SHORT, (from + i) << 1) << 16);
                }
            }
            default -> {
                for (int i = 0; i < length; i++) {
                    out[at + i] = getFloat(from + i);
                }
            }
        }
    }

    private IllegalArgumentException notFloat() {
        return new IllegalArgumentException("expected a tensor of F32, F16, BF16 or F64, got " + dtype);
    }
}
