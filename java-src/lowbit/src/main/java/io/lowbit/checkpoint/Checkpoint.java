package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The tensors of a model, whatever file holds them: one safetensors file, a folder with one or with shards and their
 * index, a GGUF file, or an ONNX file. Files are mapped: a tensor costs nothing before it is read. Tensors live until
 * {@link #close()}; any thread may read.
 */
public final class Checkpoint implements AutoCloseable {
    /** What a checkpoint is stored as. */
    public enum Kind {
        SAFETENSORS,
        SAFETENSORS_FOLDER,
        ONNX,
        GGUF
    }

    private final Path path;
    private final Kind kind;
    private final Map<String, Tensor> tensors;
    private final Map<String, String> metadata;
    private final JsonObject config;
    private final OnnxFile onnx;
    private final GgufFile gguf;
    private volatile Optional<JsonObject> quantization;
    private Map<String, GgufType> partTypes = Map.of();
    private GgufView view;
    private ReadOptions readOptions = ReadOptions.DEFAULT;
    private final List<SafetensorsFile> files;
    /** The file of each tensor, where there are several. */
    private final Map<String, SafetensorsFile> homes;
    /** Where tensors are mapped anew when they are asked for; null for views of the whole files. */
    private final Arena window;

    private Checkpoint(Path path, Kind kind, Map<String, Tensor> tensors, Map<String, String> metadata, JsonObject config, OnnxFile onnx,
            GgufFile gguf, List<SafetensorsFile> files, Map<String, SafetensorsFile> homes, Arena window) {
        this.path = path;
        this.kind = kind;
        this.tensors = Collections.unmodifiableMap(tensors);
        this.metadata = Collections.unmodifiableMap(metadata);
        this.config = config;
        this.onnx = onnx;
        this.gguf = gguf;
        this.files = files;
        this.homes = homes;
        this.window = window;
    }

    /** Tensors that are in no file yet, as the parts of a layer that is about to be written. */
    static Checkpoint ofParts(Path path, Map<String, Tensor> tensors, Map<String, GgufType> types, JsonObject config) {
        Checkpoint out = new Checkpoint(path, Kind.SAFETENSORS, tensors, Map.of(), config, null, null, List.of(), Map.of(), null);
        out.partTypes = types;
        return out;
    }

    /** The same model with tensors mapped into {@code arena} one by one when they are asked for: memory goes with it. */
    Checkpoint window(Arena arena) {
        Checkpoint out = new Checkpoint(path, kind, tensors, metadata, config, onnx, gguf, files, homes, arena);
        out.quantization = quantizationConfig();
        out.readOptions = readOptions;
        out.view = view;
        out.partTypes = partTypes;
        return out;
    }

    /** {@link #open(Path, Path)} with the configuration that lies beside the tensors. */
    public static Checkpoint open(Path path) throws IOException {
        return open(path, null);
    }

    /**
     * Opens a model.
     *
     * @param path a {@code .safetensors} file, an index, a {@code .gguf} or {@code .onnx} file, or a folder that holds
     *     {@code model.safetensors} or {@code model.safetensors.index.json}, or else one GGUF file, whose tensors then have
     *     Hugging Face's names and order of rows
     * @param configFile the model's configuration, or null for {@code config.json} in the folder or beside the file
     * @throws CheckpointException when it is none of these or not well-formed
     */
    public static Checkpoint open(Path path, Path configFile) throws IOException {
        if (configFile != null && !Files.exists(configFile)) {
            throw new java.nio.file.NoSuchFileException(configFile.toString());
        }
        if (Files.isDirectory(path)) {
            return openFolder(path, SafetensorsFolder.config(configFile != null ? configFile : path.resolve("config.json")));
        }
        JsonObject config = SafetensorsFolder.config(configFile != null ? configFile : beside(path));
        String name = path.getFileName().toString();
        if (name.endsWith(".onnx")) {
            OnnxFile onnx = OnnxFile.open(path);
            return new Checkpoint(path, Kind.ONNX, onnx.tensors(), onnx.metadata(), config, onnx, null, List.of(), Map.of(), null);
        }
        if (name.endsWith(".safetensors.index.json")) {
            return openShards(path, path, config);
        }
        if (name.endsWith(".gguf")) {
            return openGguf(path, path, config, false);
        }
        if (name.endsWith(".bin") || name.endsWith(".pt") || name.endsWith(".pth")) {
            throw new CheckpointException(Fault.UNSUPPORTED, path.toString(), "Lowbit reads safetensors, GGUF and ONNX files",
                    "convert the model to safetensors first");
        }
        SafetensorsFile file = SafetensorsFile.open(path);
        return new Checkpoint(path, Kind.SAFETENSORS, file.tensors(), file.metadata(), config, null, null, List.of(file), Map.of(), null);
    }

    private static Checkpoint openGguf(Path path, Path file, JsonObject config, boolean huggingFace) throws IOException {
        GgufFile gguf = GgufFile.open(file);
        Map<String, String> metadata = new LinkedHashMap<>();
        gguf.pairs().forEach((key, value) -> metadata.put(key, value.toString()));
        try {
            GgufView view = huggingFace ? GgufView.huggingFace(gguf) : GgufView.plain(gguf);
            Checkpoint out = new Checkpoint(path, Kind.GGUF, view.tensors(), metadata, config, null, gguf, List.of(), Map.of(), null);
            out.view = view;
            return out;
        } catch (RuntimeException e) {
            gguf.close();
            throw e;
        }
    }

    private static Path beside(Path file) {
        return file.toAbsolutePath().resolveSibling("config.json");
    }

    private static Checkpoint openFolder(Path folder, JsonObject config) throws IOException {
        Path index = folder.resolve(SafetensorsFolder.INDEX);
        Path single = folder.resolve("model.safetensors");
        if (Files.exists(index)) {
            return openShards(folder, index, config);
        }
        if (!Files.exists(single)) {
            List<Path> ggufs;
            try (java.util.stream.Stream<Path> list = Files.list(folder)) {
                ggufs = list.filter(p -> p.toString().endsWith(".gguf")).toList();
            }
            if (ggufs.size() == 1) {
                return openGguf(folder, ggufs.getFirst(), config, true);
            }
            throw new CheckpointException(Fault.MISSING, folder.toString(), "holds neither model.safetensors nor " + SafetensorsFolder.INDEX + (ggufs.isEmpty() ? " nor a .gguf file" : ", and " + ggufs.size() + " .gguf files"),
                    "give the folder of a model, or one file of it");
        }
        SafetensorsFile file = SafetensorsFile.open(single);
        return new Checkpoint(folder, Kind.SAFETENSORS_FOLDER, file.tensors(), file.metadata(), config, null, null, List.of(file), Map.of(), null);
    }

    private static Checkpoint openShards(Path path, Path index, JsonObject config) throws IOException {
        SafetensorsFolder shards = SafetensorsFolder.open(index, FileAccess.MAP);
        return new Checkpoint(path, Kind.SAFETENSORS_FOLDER, shards.tensors(), shards.metadata(), config, null, null, shards.shards(), shards.homes(), null);
    }

    /** What {@link #open} was given. */
    public Path path() {
        return path;
    }

    public Kind kind() {
        return kind;
    }

    /** Names of all tensors, in file order. */
    public Set<String> names() {
        return tensors.keySet();
    }

    /**
     * All tensors by name, in file order, as they lie in the file: for names, types and shapes. What {@link #tensor} gives
     * differs for the query and key weights of a GGUF folder, which have llama.cpp's order of rows here.
     */
    public Map<String, Tensor> tensors() {
        return tensors;
    }

    public boolean has(String name) {
        return tensors.containsKey(name);
    }

    /**
     * A tensor by name.
     *
     * @throws CheckpointException where there is none
     */
    public Tensor tensor(String name) {
        Tensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new CheckpointException(Fault.MISSING, path.toString(), "no tensor " + CheckpointException.quote(name), Names.cure(name, names()));
        }
        Tensor stored = window == null ? tensor : mapped(name, tensor);
        return view == null ? stored : view.ordered(name, stored, window);
    }

    private Tensor mapped(String name, Tensor tensor) {
        try {
            if (gguf != null) {
                return gguf.window(tensor, window);
            }
            SafetensorsFile home = homes.isEmpty() && !files.isEmpty() ? files.getFirst() : homes.get(name);
            return home == null ? tensor : home.window(tensor, window);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** Name of the file that a tensor is in; the same for all tensors but in a folder with shards. */
    String fileOf(String tensor) {
        SafetensorsFile home = homes.get(tensor);
        return home == null ? "" : home.path().getFileName().toString();
    }

    /** All files that hold tensors. */
    List<Path> files() {
        return gguf != null ? List.of(gguf.path()) : files.isEmpty() ? List.of(path) : files.stream().map(SafetensorsFile::path).toList();
    }

    /** What the file says about itself: safetensors' {@code __metadata__}, ONNX's producer and properties. */
    public Map<String, String> metadata() {
        return metadata;
    }

    /** How it is read where the file leaves that open. */
    public ReadOptions readOptions() {
        return readOptions;
    }

    /** Reads it so from now on; before layers are read. */
    public Checkpoint with(ReadOptions options) {
        readOptions = options;
        return this;
    }

    /** The GGUF file behind it; empty for other kinds. */
    public Optional<GgufFile> gguf() {
        return Optional.ofNullable(gguf);
    }

    /** How GGUF stores each tensor; empty for other kinds. */
    Map<String, GgufType> ggufTypes() {
        return view == null ? partTypes : view.types();
    }

    /** {@code config.json}, where there is one. */
    public Optional<JsonObject> config() {
        return Optional.ofNullable(config);
    }

    /**
     * How the layers are quantized: {@code quantization_config} of the configuration, or of the file's own metadata, or a
     * side file: {@code quantize_config.json}, {@code quant_config.json}, {@code hf_quant_config.json}.
     */
    public Optional<JsonObject> quantizationConfig() {
        Optional<JsonObject> known = quantization;
        if (known == null) {
            known = findQuantization();
            quantization = known;
        }
        return known;
    }

    private Optional<JsonObject> findQuantization() {
        try {
            if (config != null && config.has("quantization_config")) {
                return Optional.of(config.object("quantization_config"));
            }
            if (config != null && (config.has("quant_method") || config.has("w_bit") || config.has("bits") && config.has("group_size"))) {
                return Optional.of(config); // a side file given by name
            }
            String own = kind == Kind.GGUF ? null : metadata.get("quantization_config");
            return own == null ? SideConfig.find(path) : Optional.of(JsonReader.parseObject(own));
        } catch (JsonException e) {
            throw new CheckpointException(Fault.LAYOUT, path.toString(), "quantization_config: " + e.getMessage(), "repair the configuration", e);
        }
    }

    /**
     * The weights of linear layers: of an ONNX file what its MatMul and Gemm nodes multiply with, of others every 2-D
     * float tensor {@code LAYER.weight}. Embeddings and heads are among the latter: their names tell.
     */
    public List<LinearWeight> linearWeights() {
        if (onnx != null) {
            return onnx.linearWeights();
        }
        List<LinearWeight> out = new ArrayList<>();
        tensors.forEach((name, t) -> {
            if (name.endsWith(".weight") && t.shape().rank() == 2 && t.dtype().isFloat()) {
                out.add(new LinearWeight(name.substring(0, name.length() - ".weight".length()), name, t.dim(0), t.dim(1), false));
            }
        });
        return out;
    }

    /** Remarks on what was left out, one line each; empty for safetensors. */
    public List<String> notes() {
        return onnx == null ? List.of() : onnx.notes();
    }

    /** Makes sure that no file was cut, replaced or written to since it was opened. */
    public void verifyUnchanged() throws IOException {
        for (SafetensorsFile file : files) {
            file.verifyUnchanged();
        }
        if (onnx != null) {
            onnx.verifyUnchanged();
        }
        if (gguf != null) {
            gguf.verifyUnchanged();
        }
    }

    /** Frees all files; their tensors throw {@link IllegalStateException} from now on. */
    @Override
    public void close() {
        files.forEach(SafetensorsFile::close);
        if (onnx != null) {
            onnx.close();
        }
        if (gguf != null) {
            gguf.close();
        }
    }
}
