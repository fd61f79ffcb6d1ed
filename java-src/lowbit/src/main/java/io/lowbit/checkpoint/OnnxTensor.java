package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A TensorProto of onnx.proto3: dims 1, data_type 2, float_data 4, int32_data 5, int64_data 7, name 8, raw_data 9,
 * double_data 10, uint64_data 11, external_data 13, data_location 14.
 */
final class OnnxTensor {
    private static final int MAX_RANK = 16;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final Map<Integer, DType> TYPES = Map.ofEntries(
            Map.entry(1, DType.F32), Map.entry(2, DType.U8), Map.entry(3, DType.I8), Map.entry(4, DType.U16), Map.entry(5, DType.I16),
            Map.entry(6, DType.I32), Map.entry(7, DType.I64), Map.entry(9, DType.BOOL), Map.entry(10, DType.F16), Map.entry(11, DType.F64),
            Map.entry(12, DType.U32), Map.entry(13, DType.U64), Map.entry(16, DType.BF16), Map.entry(17, DType.F8_E4M3),
            Map.entry(18, DType.F8_E4M3FNUZ), Map.entry(19, DType.F8_E5M2), Map.entry(20, DType.F8_E5M2FNUZ));

    /** Opens a file of external data that this tensor names. */
    interface External {
        MemorySegment open(String location) throws IOException;
    }

    final String name;
    private final String path;
    private final MemorySegment message;
    private final List<Long> dims = new ArrayList<>();
    private final Map<String, String> external = new HashMap<>();
    private long type;
    private MemorySegment raw;
    private boolean outside;

    /** Reads everything but the elements. */
    OnnxTensor(String path, ProtoReader field, String nameOfConstant) {
        this.path = path;
        this.message = field.bytes();
        String own = null;
        ProtoReader in = field.message();
        while (in.next()) {
            switch (in.field()) {
                case 1 -> dims(in);
                case 2 -> type = in.number();
                case 8 -> own = in.text();
                case 9 -> {
                    if (raw != null) {
                        throw wrong(own, "has raw_data twice");
                    }
                    raw = in.bytes();
                }
                case 13 -> external(in.message());
                case 14 -> outside = in.number() != 0;
                default -> { }
            }
        }
        name = nameOfConstant != null ? nameOfConstant : own == null ? "" : own;
    }

    private void dims(ProtoReader in) {
        if (in.wireType() == ProtoReader.BYTES) {
            ProtoReader packed = in.message();
            while (packed.nextPacked()) {
                dim(packed.number());
            }
        } else {
            dim(in.number());
        }
    }

    private void dim(long d) {
        if (d < 0 || dims.size() >= MAX_RANK) {
            throw wrong(null, d < 0 ? "has the dimension " + d : "has more than " + MAX_RANK + " dimensions");
        }
        dims.add(d);
    }

    private void external(ProtoReader in) {
        String key = "";
        String value = "";
        while (in.next()) {
            switch (in.field()) {
                case 1 -> key = in.text();
                case 2 -> value = in.text();
                default -> { }
            }
        }
        if (external.put(key, value) != null) {
            throw wrong(null, "gives its external " + CheckpointException.quote(key) + " twice");
        }
    }

    /** Null for types that Lowbit has no tensors of: strings, complex and sub-byte numbers. */
    DType dtype() {
        return TYPES.get(Math.clamp(type, -1, 1000));
    }

    long typeNumber() {
        return type;
    }

    /** The elements: a view where the file holds them as they are, else a copy in {@code arena}. */
    Tensor tensor(Arena arena, External files) throws IOException {
        DType dtype = dtype();
        Shape shape;
        long bytes;
        try {
            shape = Shape.of(dims.stream().mapToLong(Long::longValue).toArray());
            bytes = dtype.byteSize(shape.elements());
        } catch (ArithmeticException e) {
            throw new CheckpointException(Fault.OVERFLOW, where(name), dtype + " " + dims + " overflows 64 bits of size",
                    "the file is malformed: ask its maker for a correct one", e);
        }
        if (outside) {
            return new Tensor(dtype, shape, outside(bytes, files));
        }
        if (raw != null) {
            if (raw.byteSize() != bytes) {
                throw wrong(name, dtype + " " + shape + " takes " + bytes + " bytes, its raw_data hold " + raw.byteSize());
            }
            return new Tensor(dtype, shape, raw);
        }
        return new Tensor(dtype, shape, typed(dtype, shape.elements(), arena));
    }

    private MemorySegment outside(long bytes, External files) throws IOException {
        String location = external.get("location");
        if (location == null) {
            throw wrong(name, "its data are external, but no location is given");
        }
        MemorySegment file = files.open(location);
        long offset = number("offset", 0);
        long length = number("length", bytes);
        if (length != bytes) {
            throw wrong(name, "takes " + bytes + " bytes, its external data are said to have " + length);
        }
        if (offset > file.byteSize() || length > file.byteSize() - offset) {
            throw wrong(name, "its external data, " + length + " bytes from " + offset + ", reach beyond " + CheckpointException.quote(location) + " of "
                    + file.byteSize() + " bytes");
        }
        return file.asSlice(offset, length);
    }

    private long number(String key, long otherwise) {
        String text = external.get(key);
        if (text == null) {
            return otherwise;
        }
        if (!text.matches("\\d{1,18}")) {
            throw wrong(name, "its external " + key + " is " + CheckpointException.quote(text) + ", expected a number");
        }
        return Long.parseLong(text);
    }

    /** Elements out of float_data and its like, packed or not. */
    private MemorySegment typed(DType dtype, long elements, Arena arena) {
        int field = switch (dtype) {
            case F32 -> 4;
            case I64 -> 7;
            case F64 -> 10;
            case U32, U64 -> 11;
            default -> 5;
        };
        int width = dtype.bits() / 8;
        long count = 0;
        MemorySegment only = null;
        ProtoReader in = new ProtoReader(path, message);
        while (in.next()) {
            if (in.field() == field) {
                long here = count(in, dtype);
                only = count == 0 && (dtype == DType.F32 || dtype == DType.F64) && in.wireType() == ProtoReader.BYTES ? in.bytes() : null;
                count += here;
            }
        }
        if (count != elements) {
            throw wrong(name, dtype + " " + dims + " has " + elements + " elements, the file holds " + count);
        }
        if (only != null) {
            return only;
        }
        MemorySegment out = arena.allocate(elements * width, Tensor.ALIGNMENT);
        long at = 0;
        in = new ProtoReader(path, message);
        while (in.next()) {
            if (in.field() != field) {
                continue;
            }
            if (in.wireType() != ProtoReader.BYTES) {
                store(out, at, width, in.number());
                at += width;
            } else if (dtype == DType.F32 || dtype == DType.F64) {
                MemorySegment.copy(in.bytes(), 0, out, at, in.bytes().byteSize());
                at += in.bytes().byteSize();
            } else {
                ProtoReader packed = in.message();
                while (packed.nextPacked()) {
                    store(out, at, width, packed.number());
                    at += width;
                }
            }
        }
        return out;
    }

    private long count(ProtoReader in, DType dtype) {
        boolean fixed = dtype == DType.F32 || dtype == DType.F64;
        int expected = dtype == DType.F32 ? ProtoReader.FIXED32 : dtype == DType.F64 ? ProtoReader.FIXED64 : ProtoReader.VARINT;
        if (in.wireType() != ProtoReader.BYTES) {
            if (in.wireType() != expected) {
                throw wrong(name, "its elements have wire type " + in.wireType());
            }
            return 1;
        }
        if (fixed) {
            long bytes = in.bytes().byteSize();
            if (bytes % (dtype.bits() / 8) != 0) {
                throw wrong(name, bytes + " bytes of " + dtype + " are no whole number of elements");
            }
            return bytes / (dtype.bits() / 8);
        }
        long count = 0;
        ProtoReader packed = in.message();
        while (packed.nextPacked()) {
            count++;
        }
        return count;
    }

    private static void store(MemorySegment out, long at, int width, long value) {
        switch (width) {
            case 1 -> out.set(ValueLayout.JAVA_BYTE, at, (byte) value);
            case 2 -> out.set(SHORT, at, (short) value);
            case 4 -> out.set(INT, at, (int) value);
            default -> out.set(LONG, at, value);
        }
    }

    private CheckpointException wrong(String knownName, String why) {
        return new CheckpointException(Fault.TENSOR_INFO, where(knownName), why, "the file is malformed: ask its maker for a correct one");
    }

    private String where(String knownName) {
        return knownName == null ? path + ": an initializer" : path + ": initializer " + CheckpointException.quote(knownName);
    }
}
