package io.lowbit.format;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The tensors of a trusted reference file. Reads just enough of safetensors to not depend on the reader under test elsewhere. */
public final class GoldenFile {
    private static final Pattern ENTRY = Pattern.compile(
            "\"([^\"]+)\":\\{\"dtype\":\"(\\w+)\",\"shape\":\\[([0-9,]*)\\],\"data_offsets\":\\[(\\d+),(\\d+)\\]\\}");

    private final Map<String, Tensor> tensors = new LinkedHashMap<>();

    private GoldenFile() {}

    /** Folder of the reference data. */
    public static Path folder() {
        return Path.of(System.getProperty("lowbit.root"), "tests", "golden");
    }

    public static GoldenFile open(String name) {
        GoldenFile file = new GoldenFile();
        try (FileChannel channel = FileChannel.open(folder().resolve(name))) {
            MemorySegment all = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto());
            long length = all.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
            String header = new String(all.asSlice(8, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8).replaceAll("\\s*([:,\\[\\]{}])\\s*", "$1");
            MemorySegment data = all.asSlice(8 + length);
            Matcher m = ENTRY.matcher(header);
            while (m.find()) {
                String[] parts = m.group(3).isEmpty() ? new String[0] : m.group(3).split(",");
                long[] dims = new long[parts.length];
                for (int i = 0; i < dims.length; i++) {
                    dims[i] = Long.parseLong(parts[i]);
                }
                long from = Long.parseLong(m.group(4));
                file.tensors.put(m.group(1), new Tensor(DType.valueOf(m.group(2)), Shape.of(dims), data.asSlice(from, Long.parseLong(m.group(5)) - from)));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return file;
    }

    public Set<String> names() {
        return tensors.keySet();
    }

    public boolean has(String name) {
        return tensors.containsKey(name);
    }

    public Tensor get(String name) {
        Tensor t = tensors.get(name);
        if (t == null) {
            throw new NoSuchElementException("no tensor " + name + " in the reference file");
        }
        return t;
    }

    /** Bytes of a one-byte tensor, or any tensor's raw bytes. */
    public byte[] bytes(String name) {
        return get(name).data().toArray(ValueLayout.JAVA_BYTE);
    }
}
