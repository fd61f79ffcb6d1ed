package io.lowbit.cli;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The index of a TensorFlow checkpoint: which bytes of its data file belong to which variable. A LevelDB table of keys and
 * {@code BundleEntryProto} values, uncompressed as TensorFlow writes it. Reads a trusted file, for a test.
 */
final class TensorFlowBundle {
    private static final long MAGIC = 0xdb4775248b80fb57L;
    private static final int FLOAT = 1;

    /** A variable of floats. */
    record Entry(long[] shape, long offset, long size) {}

    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private final ByteBuffer table;

    TensorFlowBundle(byte[] index) {
        table = ByteBuffer.wrap(index).order(ByteOrder.LITTLE_ENDIAN);
        if (table.getLong(index.length - 8) != MAGIC) {
            throw new IllegalArgumentException("not a TensorFlow checkpoint index");
        }
        ByteBuffer footer = table.slice(index.length - 48, 40);
        varint(footer);
        varint(footer);
        block((int) varint(footer), (int) varint(footer), (_, handle) -> {
            ByteBuffer at = ByteBuffer.wrap(handle);
            block((int) varint(at), (int) varint(at), this::entry);
        });
    }

    Map<String, Entry> entries() {
        return entries;
    }

    private interface Visitor {
        void see(String key, byte[] value);
    }

    private void block(int offset, int size, Visitor visitor) {
        if (table.get(offset + size) != 0) {
            throw new IllegalArgumentException("a compressed block");
        }
        ByteBuffer b = table.slice(offset, size).order(ByteOrder.LITTLE_ENDIAN);
        int restarts = b.getInt(size - 4);
        b.limit(size - 4 - 4 * restarts);
        byte[] key = {};
        while (b.hasRemaining()) {
            int shared = (int) varint(b);
            byte[] next = new byte[shared + (int) varint(b)];
            byte[] value = new byte[(int) varint(b)];
            System.arraycopy(key, 0, next, 0, shared);
            b.get(next, shared, next.length - shared).get(value);
            key = next;
            visitor.see(new String(key, StandardCharsets.UTF_8), value);
        }
    }

    /** dtype = 1, shape = 2 { dim = 2 { size = 1 } }, offset = 4, size = 5. */
    private void entry(String name, byte[] proto) {
        ByteBuffer b = ByteBuffer.wrap(proto);
        long dtype = 0;
        long offset = 0;
        long size = 0;
        long[] shape = {};
        while (b.hasRemaining()) {
            int tag = (int) varint(b);
            switch (tag) {
                case 1 << 3 -> dtype = varint(b);
                case 4 << 3 -> offset = varint(b);
                case 5 << 3 -> size = varint(b);
                case 2 << 3 | 2 -> shape = shape(bytes(b));
                default -> skip(b, tag & 7);
            }
        }
        if (dtype == FLOAT && !name.isEmpty()) {
            entries.put(name, new Entry(shape, offset, size));
        }
    }

    private static long[] shape(ByteBuffer b) {
        long[] dims = {};
        while (b.hasRemaining()) {
            int tag = (int) varint(b);
            if (tag != (2 << 3 | 2)) {
                skip(b, tag & 7);
                continue;
            }
            ByteBuffer dim = bytes(b);
            long size = 0;
            while (dim.hasRemaining()) {
                int inner = (int) varint(dim);
                if (inner == 1 << 3) {
                    size = varint(dim);
                } else {
                    skip(dim, inner & 7);
                }
            }
            dims = java.util.Arrays.copyOf(dims, dims.length + 1);
            dims[dims.length - 1] = size;
        }
        return dims;
    }

    private static ByteBuffer bytes(ByteBuffer b) {
        int length = (int) varint(b);
        ByteBuffer out = b.slice(b.position(), length);
        b.position(b.position() + length);
        return out;
    }

    private static void skip(ByteBuffer b, int wire) {
        switch (wire) {
            case 0 -> varint(b);
            case 1 -> b.position(b.position() + 8);
            case 2 -> bytes(b);
            case 5 -> b.position(b.position() + 4);
            default -> throw new IllegalArgumentException("wire type " + wire);
        }
    }

    private static long varint(ByteBuffer b) {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = b.get();
            value |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return value;
            }
        }
    }
}
