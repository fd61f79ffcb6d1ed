package io.lowbit.checkpoint;

import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Writes a GGUF file, version 3: key-value pairs and tensors are declared first, their data come in any order. The file
 * appears under its name only by {@link #commit()}.
 */
public final class GgufWriter implements TensorFile {
    private static final int PIECE = 1 << 26;

    private final AtomicFile file;
    private final Map<String, Slot> slots;

    /**
     * A tensor to be written.
     *
     * @param shape dimensions slowest first, in elements
     */
    public record Spec(GgufType type, Shape shape) {
        /** Bytes of its data. */
        public long bytes() {
            return Math.multiplyExact(shape.elements() / type.elements(), (long) type.bytes());
        }
    }

    private static final class Slot {
        final Spec spec;
        final long begin;
        boolean written;

        Slot(Spec spec, long begin) {
            this.spec = spec;
            this.begin = begin;
        }
    }

    private GgufWriter(AtomicFile file, Map<String, Slot> slots) {
        this.file = file;
        this.slots = slots;
    }

    /**
     * Begins a file.
     *
     * @param pairs written in their order; {@code general.alignment} decides the padding, 32 where it is not there
     * @param tensors written in their order
     * @throws IllegalArgumentException for names, ranks and shapes that the format cannot hold
     */
    public static GgufWriter create(Path path, Map<String, GgufValue> pairs, Map<String, Spec> tensors) throws IOException {
        long alignment = pairs.containsKey(GgufHeader.ALIGNMENT) ? (Long) pairs.get(GgufHeader.ALIGNMENT).value() : GgufHeader.DEFAULT_ALIGNMENT;
        Bytes head = new Bytes();
        head.raw("GGUF".getBytes(StandardCharsets.US_ASCII)).i32(3).i64(tensors.size()).i64(pairs.size());
        pairs.forEach((key, value) -> head.text(key).value(value));
        Map<String, Long> offsets = new LinkedHashMap<>();
        long at = 0;
        for (Map.Entry<String, Spec> e : tensors.entrySet()) {
            Spec spec = e.getValue();
            check(e.getKey(), spec);
            head.text(e.getKey()).i32(spec.shape().rank());
            for (int i = spec.shape().rank() - 1; i >= 0; i--) {
                head.i64(spec.shape().dim(i));
            }
            head.i32(spec.type().id()).i64(at);
            offsets.put(e.getKey(), at);
            at = GgufHeader.pad(Math.addExact(at, spec.bytes()), alignment);
        }
        long start = GgufHeader.pad(head.size(), alignment);
        Map<String, Slot> slots = new LinkedHashMap<>();
        tensors.forEach((name, spec) -> slots.put(name, new Slot(spec, start + offsets.get(name))));
        AtomicFile file = AtomicFile.create(path);
        GgufWriter writer = new GgufWriter(file, slots);
        try {
            writer.writeFully(ByteBuffer.wrap(java.util.Arrays.copyOf(head.toByteArray(), Math.toIntExact(start))), 0);
            if (at > 0) {
                // the padding of the last tensor, by its last byte
                writer.writeFully(ByteBuffer.allocate(1), start + at - 1);
            }
            return writer;
        } catch (IOException | RuntimeException e) {
            try {
                writer.close();
            } catch (IOException second) {
                e.addSuppressed(second);
            }
            throw e;
        }
    }

    private static void check(String name, Spec spec) {
        int bytes = name.getBytes(StandardCharsets.UTF_8).length;
        if (bytes > GgufHeader.NAME_BYTES || Names.unfit(name)) {
            throw new IllegalArgumentException("tensor name " + CheckpointException.quote(name) + " of " + bytes + " bytes: GGUF holds at most "
                    + GgufHeader.NAME_BYTES + ", without control characters");
        }
        int rank = spec.shape().rank();
        if (rank > 4) {
            throw new IllegalArgumentException("tensor " + name + " " + spec.shape() + ": GGUF holds at most 4 dimensions");
        }
        long inner = rank == 0 ? 1 : spec.shape().dim(rank - 1);
        if (inner % spec.type().elements() != 0) {
            throw new IllegalArgumentException("tensor " + name + " " + spec.shape() + ": rows are no multiple of " + spec.type().elements() + ", which "
                    + spec.type().label() + " demands");
        }
    }

    /** The shape is not looked at: blocks come as rows of bytes. */
    @Override
    public void write(String name, Tensor tensor) throws IOException {
        Slot slot = slots.get(name);
        if (slot == null) {
            throw new IllegalArgumentException(file.target() + ": tensor " + name + " was not declared");
        }
        MemorySegment data = tensor.data();
        if (data.byteSize() != slot.spec.bytes()) {
            throw new IllegalArgumentException("tensor " + name + ": declared " + slot.spec.bytes() + " bytes, got " + data.byteSize());
        }
        for (long at = 0; at < data.byteSize(); at += PIECE) {
            MemorySegment piece = data.asSlice(at, Math.min(PIECE, data.byteSize() - at));
            writeFully(piece.isNative() ? piece.asByteBuffer() : ByteBuffer.wrap(piece.toArray(ValueLayout.JAVA_BYTE)), slot.begin + at);
        }
        slot.written = true;
    }

    @Override
    public void commit() throws IOException {
        slots.forEach((name, slot) -> {
            if (!slot.written && slot.spec.bytes() > 0) {
                throw new IllegalStateException(file.target() + ": tensor " + name + " was not written");
            }
        });
        file.commit();
    }

    @Override
    public void close() throws IOException {
        file.close();
    }

    private void writeFully(ByteBuffer buffer, long at) throws IOException {
        while (buffer.hasRemaining()) {
            at += file.channel().write(buffer, at);
        }
    }

    /** Little-endian bytes of the head. */
    private static final class Bytes extends ByteArrayOutputStream {
        Bytes raw(byte[] bytes) {
            writeBytes(bytes);
            return this;
        }

        private Bytes number(long value, int bytes) {
            ByteBuffer b = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, value);
            write(b.array(), 0, bytes);
            return this;
        }

        Bytes i32(int value) {
            return number(value, 4);
        }

        Bytes i64(long value) {
            return number(value, 8);
        }

        Bytes text(String text) {
            byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
            return i64(utf8.length).raw(utf8);
        }

        Bytes value(GgufValue value) {
            if (!value.isArray()) {
                return i32(value.type().ordinal()).one(value.type(), value.value());
            }
            i32(GgufValue.Type.ARRAY.ordinal()).i32(value.type().ordinal()).i64(value.length());
            for (int i = 0; i < value.length(); i++) {
                one(value.type(), java.lang.reflect.Array.get(value.value(), i));
            }
            return this;
        }

        private Bytes one(GgufValue.Type type, Object value) {
            return switch (type) {
                case STRING -> text((String) value);
                case BOOL -> number((Boolean) value ? 1 : 0, 1);
                case F32 -> number(Float.floatToRawIntBits((float) (double) (Double) value), 4);
                case F64 -> number(Double.doubleToRawLongBits((Double) value), 8);
                default -> number((Long) value, type.bytes);
            };
        }
    }
}
