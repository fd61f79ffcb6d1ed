package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The head of a GGUF file, versions 2 and 3: magic, counts, key-value pairs, tensor infos. Judged in full before any
 * tensor is handed out: every length is held against what is left of the file before anything is allocated.
 *
 * @param tensors in file order
 * @param dataStart byte of the file that offset 0 stands for
 */
record GgufHeader(int version, Map<String, GgufValue> pairs, List<Info> tensors, long dataStart) {
    /** A name in ggml has 64 bytes, the last of them 0. */
    static final int NAME_BYTES = 63;
    static final int DEFAULT_ALIGNMENT = 32;
    static final String ALIGNMENT = "general.alignment";

    private static final int MAGIC = 0x46554747; // "GGUF"
    private static final int MOST_DIMS = 4;
    private static final int TENSOR_BYTES = 8 + 4 + 4 + 8;
    private static final int PAIR_BYTES = 8 + 4 + 1;
    private static final int TEXT_BYTES = 1 << 28;
    private static final String MALFORMED = "the file is malformed: ask its maker for a correct one";
    private static final String DAMAGED = "the file is damaged: download it again";

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /**
     * One tensor.
     *
     * @param shape dimensions slowest first; the file has them the other way round
     * @param begin offset of its bytes from {@code dataStart}
     */
    record Info(String name, GgufType type, Shape shape, long begin, long bytes) {}

    static GgufHeader read(String path, MemorySegment file) {
        return new Reader(path, file).read();
    }

    /** {@code size} rounded up to {@code alignment}. */
    static long pad(long size, long alignment) {
        return Math.addExact(size, alignment - 1) & -alignment;
    }

    private static final class Reader {
        private final String path;
        private final MemorySegment file;
        private long at;

        Reader(String path, MemorySegment file) {
            this.path = path;
            this.file = file;
        }

        GgufHeader read() {
            if (left() < 24) {
                throw new CheckpointException(Fault.HEADER_TOO_SMALL, path, "has " + left() + " bytes, a GGUF file begins with 24 bytes of counts", DAMAGED);
            }
            if (i32() != MAGIC) {
                throw wrong(Fault.HEADER, "does not begin with the letters GGUF", "this is no GGUF file, or it is damaged: check or download it again");
            }
            int version = i32();
            if (version == 1 || version < 0 || version > 3 || version == 0) {
                boolean swapped = Integer.reverseBytes(version) > 0 && Integer.reverseBytes(version) <= 3;
                throw new CheckpointException(Fault.UNSUPPORTED, path, "GGUF version " + Integer.toUnsignedString(version)
                        + (swapped ? ", big-endian" : "") + "; Lowbit reads versions 2 and 3, little-endian", "convert the model again with a current llama.cpp");
            }
            long tensorCount = i64();
            long pairCount = i64();
            if (tensorCount < 0 || tensorCount > left() / TENSOR_BYTES) {
                throw wrong(Fault.LIMIT, Long.toUnsignedString(tensorCount) + " tensors in a file of " + file.byteSize() + " bytes", MALFORMED);
            }
            if (pairCount < 0 || pairCount > left() / PAIR_BYTES) {
                throw wrong(Fault.LIMIT, Long.toUnsignedString(pairCount) + " key-value pairs in a file of " + file.byteSize() + " bytes", MALFORMED);
            }
            Map<String, GgufValue> pairs = new LinkedHashMap<>();
            for (long i = 0; i < pairCount; i++) {
                String key = name("key");
                if (pairs.put(key, value(key)) != null) {
                    throw wrong(Fault.METADATA, "has the key " + CheckpointException.quote(key) + " twice", MALFORMED);
                }
            }
            long alignment = alignment(pairs.get(ALIGNMENT));
            List<Info> tensors = new ArrayList<>();
            Set<String> names = new HashSet<>();
            long end = 0;
            for (long i = 0; i < tensorCount; i++) {
                Info info = info(alignment, end);
                if (!names.add(info.name)) {
                    throw tensor(Fault.TENSOR_INFO, info.name, "is there twice");
                }
                tensors.add(info);
                try {
                    end = pad(Math.addExact(info.begin, info.bytes), alignment);
                } catch (ArithmeticException e) {
                    throw tensor(Fault.OVERFLOW, info.name, "ends beyond 64 bits");
                }
            }
            return new GgufHeader(version, pairs, List.copyOf(tensors), data(tensors, alignment));
        }

        /** Where the data begin: all of the last tensor must be there, and no more than its padding behind it. */
        private long data(List<Info> tensors, long alignment) {
            long start = pad(at, alignment);
            Info last = tensors.isEmpty() ? null : tensors.getLast();
            if (last == null) {
                return Math.min(start, file.byteSize());
            }
            long size = file.byteSize() - start;
            long end = last.begin + last.bytes;
            if (end > size) {
                throw wrong(Fault.INCOMPLETE, "its tensors end at byte " + end + " of the data, the file has " + Math.max(0, size), "the file is truncated: download it again");
            }
            if (size > pad(end, alignment)) {
                throw wrong(Fault.INCOMPLETE, "its tensors end at byte " + end + " of the data, the file has " + size,
                        "bytes are hidden behind the last tensor: do not trust the file");
            }
            return start;
        }

        private Info info(long alignment, long expected) {
            String name = name("tensor name");
            int rank = i32();
            if (rank < 0 || rank > MOST_DIMS) {
                throw tensor(Fault.TENSOR_INFO, name, "has " + Integer.toUnsignedString(rank) + " dimensions, expected at most " + MOST_DIMS);
            }
            long[] dims = new long[rank];
            for (int i = rank - 1; i >= 0; i--) {
                dims[i] = i64();
                if (dims[i] < 0) {
                    throw tensor(Fault.TENSOR_INFO, name, "has dimension " + dims[i]);
                }
            }
            int id = i32();
            GgufType type = GgufType.byId(id);
            if (type == null) {
                throw tensor(Fault.UNSUPPORTED, name, "has type number " + Integer.toUnsignedString(id) + ", which ggml does not have any more or Lowbit does not know");
            }
            long begin = i64();
            long inner = rank == 0 ? 1 : dims[rank - 1];
            if (inner % type.elements() != 0) {
                throw tensor(Fault.MISALIGNED, name, "has rows of " + inner + " elements, " + type.label() + " has blocks of " + type.elements());
            }
            Shape shape;
            long bytes;
            try {
                shape = Shape.of(dims);
                bytes = Math.multiplyExact(shape.elements() / type.elements(), (long) type.bytes());
            } catch (ArithmeticException e) {
                throw tensor(Fault.OVERFLOW, name, "of dimensions " + java.util.Arrays.toString(dims) + " overflows 64 bits");
            }
            if (begin != expected) {
                throw tensor(Fault.OFFSET, name, "begins at byte " + Long.toUnsignedString(begin) + " of the data, expected " + expected
                        + (begin >= 0 && begin % alignment != 0 ? ", and no multiple of " + alignment : ""));
            }
            return new Info(name, type, shape, begin, bytes);
        }

        private long alignment(GgufValue value) {
            if (value == null) {
                return DEFAULT_ALIGNMENT;
            }
            if (value.type() != GgufValue.Type.U32 || value.isArray()) {
                throw wrong(Fault.METADATA, ALIGNMENT + " is " + value.type() + ", expected U32", MALFORMED);
            }
            long alignment = (Long) value.value();
            if (Long.bitCount(alignment) != 1 || alignment > 1 << 30) {
                throw wrong(Fault.METADATA, ALIGNMENT + " is " + alignment + ", expected a power of two", MALFORMED);
            }
            return alignment;
        }

        private GgufValue value(String key) {
            GgufValue.Type type = type(key);
            return type == GgufValue.Type.ARRAY ? array(key) : new GgufValue(type, one(type));
        }

        private GgufValue.Type type(String key) {
            int number = i32();
            if (number < 0 || number >= GgufValue.Type.values().length) {
                throw wrong(Fault.METADATA, "key " + CheckpointException.quote(key) + " has a value of type number " + Integer.toUnsignedString(number), MALFORMED);
            }
            return GgufValue.Type.values()[number];
        }

        private GgufValue array(String key) {
            GgufValue.Type type = type(key);
            if (type == GgufValue.Type.ARRAY) {
                throw wrong(Fault.METADATA, "key " + CheckpointException.quote(key) + " has an array of arrays", MALFORMED);
            }
            long count = i64();
            if (count < 0 || count > left() / type.bytes) {
                throw wrong(Fault.LIMIT, "key " + CheckpointException.quote(key) + " has an array of " + Long.toUnsignedString(count) + " elements, the file has "
                        + left() + " bytes left", MALFORMED);
            }
            int n = (int) Math.min(count, Integer.MAX_VALUE - 8);
            if (n != count) {
                throw wrong(Fault.LIMIT, "key " + CheckpointException.quote(key) + " has an array of " + count + " elements, the limit is " + n, MALFORMED);
            }
            return new GgufValue(type, elements(type, n));
        }

        private Object elements(GgufValue.Type type, int n) {
            if (type == GgufValue.Type.STRING) {
                // Grows as it is read: a count that fits by the fewest bytes may still be far too high.
                List<String> texts = new ArrayList<>();
                for (int i = 0; i < n; i++) {
                    texts.add(text());
                }
                return texts.toArray(String[]::new);
            }
            if (type == GgufValue.Type.BOOL) {
                boolean[] out = new boolean[n];
                for (int i = 0; i < n; i++) {
                    out[i] = (Boolean) one(type);
                }
                return out;
            }
            if (type.isFloat()) {
                double[] out = new double[n];
                for (int i = 0; i < n; i++) {
                    out[i] = (Double) one(type);
                }
                return out;
            }
            long[] out = new long[n];
            for (int i = 0; i < n; i++) {
                out[i] = (Long) one(type);
            }
            return out;
        }

        private Object one(GgufValue.Type type) {
            if (type == GgufValue.Type.STRING) {
                return text();
            }
            long from = take(type.bytes);
            return switch (type) {
                case U8 -> file.get(ValueLayout.JAVA_BYTE, from) & 0xffL;
                case I8 -> (long) file.get(ValueLayout.JAVA_BYTE, from);
                case U16 -> file.get(SHORT, from) & 0xffffL;
                case I16 -> (long) file.get(SHORT, from);
                case U32 -> file.get(INT, from) & 0xffffffffL;
                case I32 -> (long) file.get(INT, from);
                case U64, I64 -> file.get(LONG, from);
                case F32 -> (double) file.get(FLOAT, from);
                case F64 -> file.get(DOUBLE, from);
                case BOOL -> {
                    int b = file.get(ValueLayout.JAVA_BYTE, from);
                    if (b != 0 && b != 1) {
                        throw wrong(Fault.METADATA, "has a truth value of " + (b & 0xff), MALFORMED);
                    }
                    yield b == 1;
                }
                case STRING, ARRAY -> throw new AssertionError(type);
            };
        }

        /** A string whose bytes are not UTF-8 (some vocabularies have such) gets replacement characters. */
        private String text() {
            return new String(textBytes("string"), StandardCharsets.UTF_8);
        }

        private String name(String what) {
            byte[] bytes = textBytes(what);
            try {
                String name = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
                if (what.startsWith("tensor") && bytes.length > NAME_BYTES) {
                    throw wrong(Fault.LIMIT, "the tensor name " + CheckpointException.quote(name) + " has " + bytes.length + " bytes, the format's limit is " + NAME_BYTES, MALFORMED);
                }
                if (Names.unfit(name)) {
                    throw wrong(Fault.NAME, "the " + what + " " + CheckpointException.quote(name) + " holds control characters", MALFORMED);
                }
                return name;
            } catch (CharacterCodingException e) {
                throw wrong(Fault.NAME, "a " + what + " is not UTF-8", MALFORMED);
            }
        }

        private byte[] textBytes(String what) {
            long length = i64();
            if (length < 0 || length > left() || length > TEXT_BYTES) {
                throw wrong(length < 0 || length > TEXT_BYTES ? Fault.LIMIT : Fault.HEADER_LENGTH, "a " + what + " of " + Long.toUnsignedString(length) + " bytes, the file has "
                        + left() + " left", length >= 0 && length <= TEXT_BYTES ? "the file is truncated: download it again" : MALFORMED);
            }
            long from = take(length);
            return file.asSlice(from, length).toArray(ValueLayout.JAVA_BYTE);
        }

        private int i32() {
            return file.get(INT, take(4));
        }

        private long i64() {
            return file.get(LONG, take(8));
        }

        private long take(long bytes) {
            if (bytes > left()) {
                throw wrong(Fault.HEADER_LENGTH, "ends inside of its head", "the file is truncated: download it again");
            }
            long from = at;
            at += bytes;
            return from;
        }

        private long left() {
            return file.byteSize() - at;
        }

        private CheckpointException wrong(Fault fault, String why, String cure) {
            return new CheckpointException(fault, path, why, cure);
        }

        private CheckpointException tensor(Fault fault, String name, String why) {
            return new CheckpointException(fault, path + ": tensor " + CheckpointException.quote(name), why, MALFORMED);
        }
    }
}
