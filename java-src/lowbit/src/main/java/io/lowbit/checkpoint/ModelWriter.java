package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * Writes a model out of pieces, shard by shard: a safetensors file, a folder with the shards of the input, or a GGUF
 * file. Memory holds the pieces at work, not the model.
 *
 * @param in what the pieces are made of
 * @param config what becomes {@code config.json} of a folder
 * @param quantization goes into {@code config} as {@code quantization_config}, or into a single file's metadata
 * @param side further JSON files of a folder, by name
 * @param manifest further metadata of every file
 * @param resumable whether a folder that an earlier run of the same job began is gone on with
 */
record ModelWriter(Checkpoint in, Map<String, ?> config, Map<String, Object> quantization, Map<String, Map<String, Object>> side,
        Map<String, String> manifest, boolean resumable) {
    private static final String SINGLE = "model.safetensors";

    /**
     * Writes.
     *
     * @param done told of every piece by name, those of an earlier run too
     */
    void write(Path out, List<Piece> pieces, int threads, Consumer<String> done) throws IOException {
        try {
            if (out.toString().endsWith(".safetensors")) {
                file(out, pieces, threads, done);
            } else {
                folder(out, pieces, threads, done);
            }
        } catch (InternalError e) {
            MappedFile.guard(in.path(), () -> {
                throw e;
            });
        }
    }

    private void file(Path out, List<Piece> pieces, int threads, Consumer<String> done) throws IOException {
        Map<String, String> metadata = metadata();
        if (quantization != null) {
            metadata.put("quantization_config", JsonWriter.write(quantization, JsonWriter.Style.COMPACT));
        }
        try (TensorFile file = SafetensorsWriter.create(out, specs(pieces), metadata)) {
            PieceRunner.run(in, pieces, file, threads, done);
            in.verifyUnchanged();
            file.commit();
        }
    }

    private void folder(Path out, List<Piece> pieces, int threads, Consumer<String> done) throws IOException {
        Map<String, List<Piece>> shards = shards(pieces);
        try (ResumableFolder folder = ResumableFolder.open(out, resumable ? job(pieces) : java.util.UUID.randomUUID().toString())) {
            Map<String, String> where = new TreeMap<>();
            long total = 0;
            int index = 0;
            for (List<Piece> shard : shards.values()) {
                index++;
                String name = shards.size() == 1 ? SINGLE : String.format("model-%05d-of-%05d.safetensors", index, shards.size());
                Map<String, TensorSpec> specs = specs(shard);
                for (Map.Entry<String, TensorSpec> e : specs.entrySet()) {
                    where.put(e.getKey(), name);
                    total = Math.addExact(total, e.getValue().bytes());
                }
                if (folder.has(name)) {
                    shard.forEach(p -> done.accept(p.name()));
                    continue;
                }
                try (TensorFile file = SafetensorsWriter.create(folder.folder().resolve(name), specs, metadata())) {
                    PieceRunner.run(in, shard, file, threads, done);
                    in.verifyUnchanged();
                    file.commit();
                    if (resumable && shards.size() > 1) {
                        folder.keep();
                    }
                }
            }
            if (shards.size() > 1) {
                json(folder, SafetensorsFolder.INDEX, Map.of("metadata", Map.of("total_size", total), "weight_map", where));
            }
            Map<String, Object> full = new LinkedHashMap<>(config);
            full.remove("quantization_config");
            if (quantization != null) {
                full.put("quantization_config", quantization);
            }
            json(folder, "config.json", full);
            for (Map.Entry<String, Map<String, Object>> e : side.entrySet()) {
                json(folder, e.getKey(), e.getValue());
            }
            Companions.copy(in, folder.folder());
            folder.commit();
        }
    }

    private static void json(ResumableFolder folder, String name, Map<String, ?> content) throws IOException {
        AtomicFile.write(folder.folder().resolve(name), (JsonWriter.write(content, JsonWriter.Style.PRETTY) + "\n").getBytes(StandardCharsets.UTF_8));
    }

    private Map<String, String> metadata() {
        Map<String, String> out = new TreeMap<>(in.kind() == Checkpoint.Kind.ONNX || in.kind() == Checkpoint.Kind.GGUF ? Map.of() : in.metadata());
        out.remove("quantization_config");
        out.putIfAbsent("format", "pt");
        out.putAll(manifest);
        return out;
    }

    /** Pieces by the shard of the input that their source is in, in its order. */
    private Map<String, List<Piece>> shards(List<Piece> pieces) {
        Map<String, List<Piece>> out = new TreeMap<>();
        for (Piece piece : pieces) {
            out.computeIfAbsent(in.fileOf(piece.source()), _ -> new ArrayList<>()).add(piece);
        }
        return out;
    }

    private Map<String, TensorSpec> specs(List<Piece> pieces) {
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        pieces.forEach(p -> CheckpointQuantizer.declare(in, out, p.specs()));
        return out;
    }

    /** What is made out of what, as a digest: files by name, size and time, and every tensor to be written. */
    private String job(List<Piece> pieces) throws IOException {
        StringBuilder text = new StringBuilder();
        for (Path file : in.files()) {
            BasicFileAttributes a = Files.readAttributes(file, BasicFileAttributes.class);
            text.append(file.toAbsolutePath()).append(' ').append(a.size()).append(' ').append(a.lastModifiedTime()).append('\n');
        }
        pieces.forEach(p -> text.append(p.name()).append(' ').append(new TreeMap<>(p.specs())).append('\n'));
        text.append(quantization == null ? "plain" : JsonWriter.write(quantization, JsonWriter.Style.COMPACT)).append(in.readOptions());
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text.toString().getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-256", e);
        }
    }
}
