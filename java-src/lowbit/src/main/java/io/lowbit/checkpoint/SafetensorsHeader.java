package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonValue;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The header of a safetensors file: {@code u64 length | JSON | data}, judged in full before any tensor is handed out.
 *
 * @param entries in the order of their bytes
 * @param dataStart byte of the file that offset 0 stands for
 */
record SafetensorsHeader(List<Entry> entries, Map<String, String> metadata, long dataStart) {
    private static final ValueLayout.OfLong LENGTH = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final String METADATA = "__metadata__";
    /** The format's limit on the header. */
    private static final long FORMAT_LIMIT = 100_000_000;
    /** Numbers beyond are not exact in every JSON parser. */
    private static final long LARGEST_NUMBER = 1L << 53;
    /** Header, entry, list: a well-formed header nests three deep. */
    private static final int DEPTH = 4;
    private static final Map<String, DType> DTYPES = dtypes();

    private static final String DAMAGED = "the file is damaged: download it again";
    private static final String MALFORMED = "the file is malformed: ask its maker for a correct one";

    /** One tensor: name, what it is, and its bytes {@code begin .. end} relative to the data. */
    record Entry(String name, TensorSpec spec, long begin, long end) {}

    static SafetensorsHeader read(String path, MemorySegment file, SafetensorsLimits limits) {
        long size = file.byteSize();
        if (size < 8) {
            throw new CheckpointException(Fault.HEADER_TOO_SMALL, path,
                    "has " + size + " bytes, a safetensors file begins with 8 bytes of header length", DAMAGED);
        }
        long length = file.get(LENGTH, 0);
        if (length < 0 || length > FORMAT_LIMIT) {
            throw new CheckpointException(Fault.HEADER_TOO_LARGE, path, "header of " + Long.toUnsignedString(length)
                    + " bytes, the format's limit is " + FORMAT_LIMIT, "this is not a safetensors file, or it is damaged: check or download it again");
        }
        if (length > limits.headerBytes()) {
            throw new CheckpointException(Fault.LIMIT, path, "header of " + length + " bytes, the limit set is " + limits.headerBytes(),
                    "raise the limit if you trust the file");
        }
        if (length > size - 8) {
            throw new CheckpointException(Fault.HEADER_LENGTH, path, "header of " + length + " bytes in a file of " + size + " bytes",
                    "the file is truncated: download it again");
        }
        if (length == 0) {
            throw new CheckpointException(Fault.HEADER, path, "header of 0 bytes", DAMAGED);
        }
        byte[] json = file.asSlice(8, length).toArray(ValueLayout.JAVA_BYTE);
        if (json[0] != '{') {
            throw new CheckpointException(Fault.HEADER, path,
                    String.format("header begins with byte 0x%02x, not with '{'", json[0] & 0xff), MALFORMED);
        }
        return new Parser(path, limits, size - 8 - length).parse(json, 8 + length);
    }

    private record Parser(String path, SafetensorsLimits limits, long dataSize) {
        SafetensorsHeader parse(byte[] json, long dataStart) {
            int end = json.length;
            while (json[end - 1] == ' ') {
                end--;
            }
            if (json[end - 1] != '}') {
                throw new CheckpointException(Fault.HEADER_JSON, path, String.format(
                        "header ends with byte 0x%02x, not with '}' and spaces", json[end - 1] & 0xff), MALFORMED);
            }
            JsonObject root = object(java.util.Arrays.copyOf(json, end));
            if (root.members().size() - (root.members().containsKey(METADATA) ? 1 : 0) > limits.tensors()) {
                throw new CheckpointException(Fault.LIMIT, path,
                        "header with " + root.members().size() + " tensors, the limit is " + limits.tensors(),
                        "raise the limit if you trust the file");
            }
            List<Entry> entries = new ArrayList<>(root.members().size());
            Map<String, String> metadata = Map.of();
            for (Map.Entry<String, JsonValue> member : root.members().entrySet()) {
                if (member.getKey().equals(METADATA)) {
                    metadata = metadata(member.getValue());
                } else {
                    entries.add(entry(member.getKey(), member.getValue()));
                }
            }
            entries.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
            tile(entries);
            return new SafetensorsHeader(Collections.unmodifiableList(entries), metadata, dataStart);
        }

        private JsonObject object(byte[] json) {
            try {
                return (JsonObject) JsonReader.parse(json, DEPTH);
            } catch (JsonException e) {
                boolean encoding = e.getMessage().startsWith("not UTF-8");
                throw new CheckpointException(encoding ? Fault.HEADER : Fault.HEADER_JSON, path, "header: " + e.getMessage(), MALFORMED, e);
            }
        }

        private Map<String, String> metadata(JsonValue value) {
            if (!(value instanceof JsonObject object)) {
                throw new CheckpointException(Fault.METADATA, path, "__metadata__ is " + value.kind() + ", expected strings by name", MALFORMED);
            }
            Map<String, String> out = new LinkedHashMap<>();
            object.members().forEach((key, v) -> {
                if (!(v instanceof JsonValue.Text text)) {
                    throw new CheckpointException(Fault.METADATA, path,
                            "__metadata__ " + CheckpointException.quote(key) + " is " + v.kind() + ", expected a string", MALFORMED);
                }
                out.put(key, text.value());
            });
            return Collections.unmodifiableMap(out);
        }

        private Entry entry(String name, JsonValue value) {
            checkName(name);
            if (!(value instanceof JsonObject object)) {
                throw info(name, "its entry is " + value.kind() + ", expected an object");
            }
            for (String key : object.keys()) {
                if (!key.equals("dtype") && !key.equals("shape") && !key.equals("data_offsets")) {
                    throw info(name, "unknown field " + CheckpointException.quote(key));
                }
            }
            for (String key : List.of("dtype", "shape", "data_offsets")) {
                if (!object.keys().contains(key)) {
                    throw info(name, "its " + key + " is missing");
                }
            }
            if (!(object.get("dtype") instanceof JsonValue.Text type)) {
                throw info(name, "its dtype is " + object.get("dtype").kind() + ", expected a string");
            }
            DType dtype = DTYPES.get(type.value());
            if (dtype == null) {
                throw info(name, "unknown dtype " + CheckpointException.quote(type.value()));
            }
            long[] dims = numbers(name, "shape", object.get("shape"));
            if (dims.length > limits.rank()) {
                throw new CheckpointException(Fault.LIMIT, where(name), "rank " + dims.length + ", the limit is " + limits.rank(),
                        "raise the limit if you trust the file");
            }
            long[] offsets = numbers(name, "data_offsets", object.get("data_offsets"));
            if (offsets.length != 2) {
                throw info(name, "data_offsets of " + offsets.length + " numbers, expected begin and end");
            }
            if (offsets[1] < offsets[0]) {
                throw new CheckpointException(Fault.OFFSET, where(name), "data_offsets run backwards: [" + offsets[0] + ", " + offsets[1] + "]",
                        MALFORMED);
            }
            TensorSpec spec = new TensorSpec(dtype, shape(name, dtype, dims));
            long bytes = bytes(name, spec);
            if (offsets[1] - offsets[0] != bytes) {
                throw info(name, spec + " takes " + bytes + " bytes, its data_offsets [" + offsets[0] + ", " + offsets[1] + "] hold "
                        + (offsets[1] - offsets[0]));
            }
            return new Entry(name, spec, offsets[0], offsets[1]);
        }

        private Shape shape(String name, DType dtype, long[] dims) {
            try {
                // a zero dimension must not hide that the others overflow
                long product = 1;
                for (long d : dims) {
                    product = Math.multiplyExact(product, Math.max(d, 1));
                }
                Math.multiplyExact(product, (long) dtype.bits());
                return Shape.of(dims);
            } catch (ArithmeticException e) {
                throw new CheckpointException(Fault.OVERFLOW, where(name),
                        dtype + " " + java.util.Arrays.toString(dims) + " overflows 64 bits of size", MALFORMED, e);
            }
        }

        private long bytes(String name, TensorSpec spec) {
            try {
                return spec.bytes();
            } catch (IllegalArgumentException e) {
                throw new CheckpointException(Fault.MISALIGNED, where(name), e.getMessage(), MALFORMED, e);
            }
        }

        private long[] numbers(String name, String field, JsonValue value) {
            if (!(value instanceof JsonValue.Array array)) {
                throw info(name, "its " + field + " is " + value.kind() + ", expected a list of numbers");
            }
            long[] out = new long[array.size()];
            for (int i = 0; i < out.length; i++) {
                if (!(array.get(i) instanceof JsonValue.Num n)) {
                    throw info(name, "its " + field + " holds " + array.get(i).kind() + ", expected an unsigned integer");
                }
                if (!n.isInteger() || n.literal().charAt(0) == '-' || n.literal().length() > 16 || n.longValue() > LARGEST_NUMBER) {
                    String shown = n.literal().length() <= 40 ? n.literal() : n.literal().substring(0, 40) + "…";
                    throw info(name, "its " + field + " holds " + shown + ", expected an unsigned integer up to 2^53");
                }
                out[i] = n.longValue();
            }
            return out;
        }

        private void checkName(String name) {
            int bytes = name.getBytes(StandardCharsets.UTF_8).length;
            if (bytes > limits.nameBytes()) {
                throw new CheckpointException(Fault.LIMIT, path, "the tensor name " + CheckpointException.quote(name) + " has " + bytes
                        + " bytes, the limit is " + limits.nameBytes(), "raise the limit if you trust the file");
            }
            if (Names.unfit(name)) {
                throw new CheckpointException(Fault.NAME, path,
                        "the tensor name " + CheckpointException.quote(name) + " holds control characters", MALFORMED);
            }
        }

        /** The tensors must tile the data: no gap, no overlap, nothing hidden behind the last. */
        private void tile(List<Entry> entries) {
            long at = 0;
            for (Entry e : entries) {
                if (e.begin != at) {
                    throw new CheckpointException(Fault.OFFSET, where(e.name), "begins at byte " + e.begin + " of the data, "
                            + (e.begin > at ? "leaving a gap after" : "overlapping what ends at") + " byte " + at, MALFORMED);
                }
                at = e.end;
            }
            if (at != dataSize) {
                throw new CheckpointException(Fault.INCOMPLETE, path, "its tensors end at byte " + at + " of the data, the file has " + dataSize,
                        at > dataSize ? "the file is truncated: download it again" : "bytes are hidden behind the last tensor: do not trust the file");
            }
        }

        private CheckpointException info(String name, String why) {
            return new CheckpointException(Fault.TENSOR_INFO, where(name), why, MALFORMED);
        }

        private String where(String name) {
            return path + ": tensor " + CheckpointException.quote(name);
        }
    }

    private static Map<String, DType> dtypes() {
        Map<String, DType> out = new HashMap<>();
        for (DType dtype : DType.values()) {
            out.put(dtype.name(), dtype);
        }
        return out;
    }
}
