package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonWriter;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes a safetensors file piece by piece, never holding more than one piece: all tensors are declared first, their
 * data come later in any order. The file appears under its name only by {@link #commit()}; see {@link AtomicFile}.
 *
 * <p>Bytes are those of the reference writer: tensors by descending element type, then by name; metadata first; the
 * header padded with spaces so that the data begin on a multiple of 8.
 */
public final class SafetensorsWriter implements TensorFile {
    private static final int PIECE = 1 << 26;

    private final AtomicFile file;
    private final Map<String, Slot> slots;

    private static final class Slot {
        final TensorSpec spec;
        final long begin;
        long written;

        Slot(TensorSpec spec, long begin) {
            this.spec = spec;
            this.begin = begin;
        }
    }

    private SafetensorsWriter(AtomicFile file, Map<String, Slot> slots) {
        this.file = file;
        this.slots = slots;
    }

    /**
     * Begins a file.
     *
     * @param tensors every tensor that will be written
     * @param metadata the header's {@code __metadata__}, written sorted by key; left out where empty
     * @throws IllegalArgumentException for a name the format cannot hold or a header beyond its limit
     * @throws ArithmeticException when the sizes overflow a {@code long}
     */
    public static SafetensorsWriter create(Path path, Map<String, TensorSpec> tensors, Map<String, String> metadata) throws IOException {
        List<Map.Entry<String, TensorSpec>> order = new ArrayList<>(tensors.entrySet());
        order.sort(Comparator.comparing((Map.Entry<String, TensorSpec> e) -> e.getValue().dtype()).reversed()
                .thenComparing(e -> e.getKey().getBytes(StandardCharsets.UTF_8), java.util.Arrays::compareUnsigned));
        Map<String, Object> header = new LinkedHashMap<>();
        if (!metadata.isEmpty()) {
            header.put("__metadata__", new TreeMap<>(metadata));
        }
        Map<String, Long> begins = new HashMap<>();
        long at = 0;
        for (Map.Entry<String, TensorSpec> e : order) {
            TensorSpec spec = e.getValue();
            requireName(e.getKey());
            long end = Math.addExact(at, spec.bytes());
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("dtype", spec.dtype().name());
            entry.put("shape", spec.shape().dims());
            entry.put("data_offsets", new long[] {at, end});
            header.put(e.getKey(), entry);
            begins.put(e.getKey(), at);
            at = end;
        }
        byte[] json = JsonWriter.write(header, JsonWriter.Style.COMPACT).getBytes(StandardCharsets.UTF_8);
        int padded = Math.ceilDiv(json.length, 8) * 8;
        if (padded > SafetensorsLimits.DEFAULT.headerBytes()) {
            throw new IllegalArgumentException(path + ": a header of " + padded + " bytes, the format's limit is "
                    + SafetensorsLimits.DEFAULT.headerBytes());
        }
        long dataStart = 8L + padded;
        Map<String, Slot> slots = new LinkedHashMap<>();
        order.forEach(e -> slots.put(e.getKey(), new Slot(e.getValue(), dataStart + begins.get(e.getKey()))));

        AtomicFile file = AtomicFile.create(path);
        SafetensorsWriter writer = new SafetensorsWriter(file, slots);
        try {
            ByteBuffer head = ByteBuffer.allocate(8 + padded).order(ByteOrder.LITTLE_ENDIAN);
            head.putLong(padded).put(json);
            while (head.hasRemaining()) {
                head.put((byte) ' ');
            }
            writeFully(file.channel(), head.flip(), 0);
            return writer;
        } catch (IOException | RuntimeException e) {
            closeAfter(writer, e);
            throw e;
        }
    }

    /** Writes all of {@code tensors} as one file. */
    public static void write(Path path, Map<String, Tensor> tensors, Map<String, String> metadata) throws IOException {
        Map<String, TensorSpec> specs = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> specs.put(name, TensorSpec.of(tensor)));
        try (SafetensorsWriter writer = create(path, specs, metadata)) {
            for (Map.Entry<String, Tensor> e : tensors.entrySet()) {
                writer.write(e.getKey(), e.getValue());
            }
            writer.commit();
        }
    }

    /**
     * Writes a declared tensor whole.
     *
     * @throws IllegalArgumentException where it was not declared so
     */
    @Override
    public void write(String name, Tensor tensor) throws IOException {
        Slot slot = slot(name);
        if (!slot.spec.equals(TensorSpec.of(tensor))) {
            throw new IllegalArgumentException("tensor " + name + ": declared " + slot.spec + ", got " + TensorSpec.of(tensor));
        }
        append(name, tensor.data());
    }

    /**
     * Writes the next bytes of a declared tensor.
     *
     * @throws IllegalArgumentException where it was not declared, or has fewer bytes left
     * @throws IllegalStateException where the segment's arena is closed
     */
    public void append(String name, MemorySegment bytes) throws IOException {
        Slot slot = slot(name);
        long left = slot.spec.bytes() - slot.written;
        if (bytes.byteSize() > left) {
            throw new IllegalArgumentException("tensor " + name + " " + slot.spec + ": " + bytes.byteSize() + " more bytes, expected at most " + left);
        }
        for (long at = 0; at < bytes.byteSize(); at += PIECE) {
            MemorySegment piece = bytes.asSlice(at, Math.min(PIECE, bytes.byteSize() - at));
            writeFully(file.channel(), buffer(piece), slot.begin + slot.written);
            slot.written += piece.byteSize();
        }
    }

    /**
     * Puts the file in place, on the disk for good.
     *
     * @throws IllegalStateException when a declared tensor is not complete
     */
    @Override
    public void commit() throws IOException {
        slots.forEach((name, slot) -> {
            if (slot.written != slot.spec.bytes()) {
                throw new IllegalStateException(file.target() + ": tensor " + name + " " + slot.spec + " has " + slot.written + " of "
                        + slot.spec.bytes() + " bytes");
            }
        });
        file.commit();
    }

    /** Without a {@link #commit()} before, removes what was written. */
    @Override
    public void close() throws IOException {
        file.close();
    }

    private Slot slot(String name) {
        Slot slot = slots.get(name);
        if (slot == null) {
            throw new IllegalArgumentException(file.target() + ": tensor " + name + " was not declared");
        }
        return slot;
    }

    private static void requireName(String name) {
        if (name.equals("__metadata__") || Names.unfit(name)) {
            throw new IllegalArgumentException("tensor name " + JsonWriter.quote(name)
                    + ": the format keeps __metadata__ for itself, and control characters are refused");
        }
    }

    /** The bytes of a piece; those in an array of floats or the like have no buffer of bytes and are copied. */
    private static ByteBuffer buffer(MemorySegment piece) {
        if (piece.isNative() || piece.heapBase().orElse(null) instanceof byte[]) {
            return piece.asByteBuffer();
        }
        return ByteBuffer.wrap(piece.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));
    }

    private static void writeFully(FileChannel channel, ByteBuffer buffer, long at) throws IOException {
        while (buffer.hasRemaining()) {
            at += channel.write(buffer, at);
        }
    }

    private static void closeAfter(SafetensorsWriter writer, Exception cause) {
        try {
            writer.close();
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
    }
}
