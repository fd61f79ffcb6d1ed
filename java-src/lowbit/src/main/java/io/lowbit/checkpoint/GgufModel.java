package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * A model as a GGUF file. Out of GGUF it keeps its names and pairs. Out of a Llama-family folder (model_type llama,
 * mistral, qwen2, qwen3) it gets llama.cpp's names, hyperparameters, tokenizer (byte-level BPE) and, for the architecture
 * {@code llama}, its order of query and key rows. Any other model keeps its names, and llama.cpp's tools can read the file
 * but not run it.
 */
final class GgufModel {
    /** {@code llama_ftype} of files that are mostly of one type. */
    private static final Map<GgufType, Integer> FILE_TYPES = Map.of(GgufType.F32, 0, GgufType.F16, 1, GgufType.Q4_0, 2, GgufType.Q4_1, 3,
            GgufType.Q8_0, 7, GgufType.Q5_0, 8, GgufType.Q5_1, 9, GgufType.IQ4_NL, 25, GgufType.BF16, 32, GgufType.MXFP4, 38);

    private final Checkpoint in;
    private final JsonObject config;
    private final String architecture;
    private final Map<String, GgufValue> pairs = new LinkedHashMap<>();
    private final Map<String, GgufWriter.Spec> specs = new LinkedHashMap<>();
    private final List<Piece> pieces = new ArrayList<>();

    private GgufModel(Checkpoint in) {
        this.in = in;
        this.config = in.config().orElse(new JsonObject(Map.of()));
        String type = config.has("model_type") ? config.text("model_type") : "";
        this.architecture = in.kind() == Checkpoint.Kind.GGUF ? null : switch (type) {
            case "llama", "mistral" -> "llama";
            case "qwen2", "qwen3" -> type;
            default -> null;
        };
    }

    static void write(Checkpoint in, Path out, Map<String, LayerInfo> infos, List<Piece> pieces, int threads, Consumer<String> done) throws IOException {
        GgufModel model;
        try {
            model = new GgufModel(in);
            model.pairs();
        } catch (JsonException e) {
            throw new CheckpointException(Fault.LAYOUT, in.path() + ": config.json", e.getMessage(), "repair the configuration", e);
        }
        for (Piece piece : pieces) {
            model.add(piece, infos.get(piece.name()));
        }
        model.fileType();
        try (TensorFile file = GgufWriter.create(out, model.pairs, model.specs)) {
            PieceRunner.run(in, model.pieces, file, threads, done);
            in.verifyUnchanged();
            file.commit();
        } catch (InternalError e) {
            MappedFile.guard(in.path(), () -> {
                throw e;
            });
        }
    }

    /** llama.cpp's name for the mix, by the type that holds most weights; left out where it has none that would be true. */
    private void fileType() {
        Map<GgufType, Long> weights = new EnumMap<>(GgufType.class);
        specs.values().forEach(spec -> weights.merge(spec.type(), spec.shape().elements(), Long::sum));
        Integer number = weights.isEmpty() ? null : FILE_TYPES.get(Collections.max(weights.entrySet(), Map.Entry.comparingByValue()).getKey());
        if (architecture != null && number != null) {
            pairs.put("general.file_type", GgufValue.u32(number));
        }
    }

    private void add(Piece piece, LayerInfo info) {
        Map<String, String> names = new LinkedHashMap<>();
        piece.specs().forEach((name, spec) -> {
            String renamed = architecture == null ? name : GgufNames.toGguf(name);
            if (renamed == null) {
                throw new IllegalArgumentException(in.path() + ": tensor " + name + " has no place in llama.cpp's " + architecture + "; convert a model without it");
            }
            names.put(name, renamed);
            if (specs.put(renamed, spec(name, spec, info)) != null) {
                throw new IllegalArgumentException(in.path() + ": two tensors would be called " + renamed);
            }
        });
        pieces.add(new Piece(piece.name(), piece.source(), piece.bytes(), piece.specs(), (c, arena) -> {
            Map<String, Tensor> out = new LinkedHashMap<>();
            for (Map.Entry<String, Tensor> e : piece.work().make(c, arena).entrySet()) {
                out.put(names.get(e.getKey()), prepared(e.getKey(), e.getValue(), arena));
            }
            return out;
        }));
    }

    private GgufWriter.Spec spec(String name, TensorSpec spec, LayerInfo info) {
        if (info != null) {
            return new GgufWriter.Spec(GgufType.of(info.scheme()), info.stacked(info.k()));
        }
        GgufType stored = in.ggufTypes().get(name);
        if (stored != null && stored.dtype() == null) {
            long[] dims = spec.shape().dims();
            dims[dims.length - 1] = dims[dims.length - 1] / stored.bytes() * stored.elements();
            return new GgufWriter.Spec(stored, Shape.of(dims));
        }
        GgufType type = GgufType.of(wide(spec) ? DType.F32 : spec.dtype());
        if (type == null) {
            throw new IllegalArgumentException(in.path() + ": tensor " + name + " is " + spec + ", and GGUF has no type for " + spec.dtype());
        }
        return new GgufWriter.Spec(type, spec.shape());
    }

    /** llama.cpp wants vectors (norms, biases) as F32, which holds the 16-bit types exactly. */
    private boolean wide(TensorSpec spec) {
        return architecture != null && spec.shape().rank() == 1 && (spec.dtype() == DType.BF16 || spec.dtype() == DType.F16);
    }

    private Tensor prepared(String name, Tensor t, Arena arena) {
        if (wide(TensorSpec.of(t))) {
            Tensor f32 = Tensor.allocate(arena, DType.F32, t.shape().dims());
            for (long i = 0; i < t.elements(); i++) {
                f32.setFloat(i, t.getFloat(i));
            }
            t = f32;
        }
        if (!"llama".equals(architecture)) {
            return t;
        }
        if (name.contains(".self_attn.q_proj.")) {
            return RopeRows.toGguf(t, config.integer("num_attention_heads"), arena);
        }
        return name.contains(".self_attn.k_proj.") ? RopeRows.toGguf(t, config.integer("num_key_value_heads", config.integer("num_attention_heads")), arena) : t;
    }

    private void pairs() throws IOException {
        if (in.gguf().isPresent()) {
            in.gguf().get().pairs().forEach(pairs::put);
            pairs.remove("general.file_type"); // it counted the types that were there
            return;
        }
        pairs.put("general.architecture", GgufValue.of(architecture == null ? config.text("model_type", "unknown") : architecture));
        Path folder = Files.isDirectory(in.path()) ? in.path() : in.path().toAbsolutePath().getParent();
        pairs.put("general.name", GgufValue.of(String.valueOf(in.path().toAbsolutePath().normalize().getFileName())));
        if (architecture == null) {
            return;
        }
        String a = architecture + ".";
        long hidden = config.integer("hidden_size");
        long heads = config.integer("num_attention_heads");
        long headDim = config.integer("head_dim", hidden / Math.max(1, heads));
        pairs.put(a + "block_count", GgufValue.u32(config.integer("num_hidden_layers")));
        pairs.put(a + "context_length", GgufValue.u32(config.integer("max_position_embeddings")));
        pairs.put(a + "embedding_length", GgufValue.u32(hidden));
        pairs.put(a + "feed_forward_length", GgufValue.u32(config.integer("intermediate_size")));
        pairs.put(a + "attention.head_count", GgufValue.u32(heads));
        pairs.put(a + "attention.head_count_kv", GgufValue.u32(config.integer("num_key_value_heads", heads)));
        pairs.put(a + "attention.layer_norm_rms_epsilon", GgufValue.f32(config.number("rms_norm_eps", 1e-6)));
        pairs.put(a + "attention.key_length", GgufValue.u32(headDim));
        pairs.put(a + "attention.value_length", GgufValue.u32(headDim));
        pairs.put(a + "rope.dimension_count", GgufValue.u32(headDim));
        pairs.put(a + "vocab_size", GgufValue.u32(config.integer("vocab_size")));
        rope(a);
        GgufTokenizer.add(folder, Math.toIntExact(config.integer("vocab_size")), config, pairs);
    }

    private void rope(String a) {
        JsonObject rope = config.has("rope_parameters") ? config.object("rope_parameters") : config.has("rope_scaling") ? config.object("rope_scaling") : new JsonObject(Map.of());
        pairs.put(a + "rope.freq_base", GgufValue.f32(rope.number("rope_theta", config.number("rope_theta", 10000))));
        String type = rope.text("rope_type", rope.text("type", "default"));
        if (type.equals("linear")) {
            pairs.put(a + "rope.scaling.type", GgufValue.of("linear"));
            pairs.put(a + "rope.scaling.factor", GgufValue.f32(rope.number("factor")));
        } else if (!type.equals("default")) {
            throw new CheckpointException(Fault.UNSUPPORTED, in.path() + ": config.json", "rope_type " + CheckpointException.quote(type) + " is not written to GGUF",
                    "convert this model with llama.cpp's convert_hf_to_gguf.py");
        }
    }
}
