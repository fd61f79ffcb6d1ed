package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonValue;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The shards of a model: those that {@code model.safetensors.index.json} names, each tensor in exactly the one it is
 * said to be in, and none besides.
 */
final class SafetensorsFolder implements AutoCloseable {
    static final String INDEX = "model.safetensors.index.json";
    /** An index is a name and a file for each tensor; real ones stay below 10 MB. */
    private static final long INDEX_BYTES = 100_000_000;

    private final List<SafetensorsFile> shards = new ArrayList<>();
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();
    private final Map<String, SafetensorsFile> homes = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();

    private SafetensorsFolder() {}

    /** Opens the shards that {@code index} names. */
    static SafetensorsFolder open(Path index, FileAccess access) throws IOException {
        Path folder = index.toAbsolutePath().getParent();
        Map<String, String> map = weightMap(index);
        SafetensorsFolder out = new SafetensorsFolder();
        try {
            for (String name : map.values().stream().distinct().sorted().toList()) {
                SafetensorsFile shard = SafetensorsFile.open(ShardPaths.resolve(index, folder, name), SafetensorsLimits.DEFAULT, access);
                out.shards.add(shard);
                out.add(index, name, shard, map);
            }
            for (Map.Entry<String, String> e : map.entrySet()) {
                if (!out.tensors.containsKey(e.getKey())) {
                    throw wrong(index, "says that tensor " + CheckpointException.quote(e.getKey()) + " is in "
                            + CheckpointException.quote(e.getValue()) + ", which does not hold it");
                }
            }
            return out;
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            out.close();
            throw e;
        }
    }

    private void add(Path index, String name, SafetensorsFile shard, Map<String, String> map) {
        shard.tensors().forEach((tensor, t) -> {
            String said = map.get(tensor);
            if (said == null) {
                throw wrong(index, "does not name tensor " + CheckpointException.quote(tensor) + ", which is in " + CheckpointException.quote(name));
            }
            if (!said.equals(name)) {
                throw wrong(index, "says that tensor " + CheckpointException.quote(tensor) + " is in " + CheckpointException.quote(said)
                        + ", but it is in " + CheckpointException.quote(name));
            }
            tensors.put(tensor, t);
            homes.put(tensor, shard);
        });
        shard.metadata().forEach(metadata::putIfAbsent);
    }

    Map<String, Tensor> tensors() {
        return tensors;
    }

    /** The shard that each tensor is in. */
    Map<String, SafetensorsFile> homes() {
        return homes;
    }

    Map<String, String> metadata() {
        return metadata;
    }

    List<SafetensorsFile> shards() {
        return shards;
    }

    @Override
    public void close() {
        shards.forEach(SafetensorsFile::close);
    }

    private static Map<String, String> weightMap(Path index) throws IOException {
        if (Files.size(index) > INDEX_BYTES) {
            throw wrong(index, "has " + Files.size(index) + " bytes, the limit is " + INDEX_BYTES);
        }
        try {
            Map<String, String> map = new LinkedHashMap<>();
            JsonReader.parseObject(Files.readAllBytes(index)).object("weight_map").members().forEach((tensor, file) -> {
                if (!(file instanceof JsonValue.Text text)) {
                    throw new JsonException("weight_map " + CheckpointException.quote(tensor) + ": expected a file name, got " + file.kind());
                }
                map.put(tensor, text.value());
            });
            return map;
        } catch (JsonException e) {
            throw wrong(index, e.getMessage());
        }
    }

    private static CheckpointException wrong(Path index, String why) {
        return new CheckpointException(Fault.INDEX, index.toString(), why, "download the index and its shards again");
    }

    /** The configuration in {@code file}; null where there is no such file. */
    static JsonObject config(Path file) throws IOException {
        if (!Files.exists(file)) {
            return null;
        }
        if (Files.size(file) > INDEX_BYTES) {
            throw new CheckpointException(Fault.LIMIT, file.toString(), "has " + Files.size(file) + " bytes, the limit is " + INDEX_BYTES, "check the file");
        }
        try {
            return JsonReader.parseObject(Files.readAllBytes(file));
        } catch (JsonException e) {
            throw new CheckpointException(Fault.HEADER_JSON, file.toString(), e.getMessage(), "repair the file or download it again", e);
        }
    }
}
