package io.lowbit.llm;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonValue;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * Reads {@code config.json} of a Hugging Face folder, written by transformers of any version: rotary settings are in
 * {@code rope_parameters} (5 and later) or in {@code rope_theta} and {@code rope_scaling}. What the decoder does not
 * compute is refused by name rather than ignored.
 */
final class ConfigReader {
    private static final List<String> ARCHITECTURES =
            List.of("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM");

    private final Path file;
    private final JsonObject json;

    private ConfigReader(Path file, JsonObject json) {
        this.file = file;
        this.json = json;
    }

    /**
     * The configuration in {@code folder/config.json}.
     *
     * @throws ModelException when the file is missing or malformed, or asks for what this decoder does not compute
     */
    static ModelConfig read(Path folder) throws IOException {
        Path file = folder.resolve("config.json");
        if (!Files.isRegularFile(file)) {
            throw new ModelException(folder + ": no config.json; give a model folder in Hugging Face layout");
        }
        try {
            return new ConfigReader(file, JsonReader.parseObject(Files.readAllBytes(file))).config();
        } catch (JsonException e) {
            throw new ModelException(file + ": " + e.getMessage() + "; fetch the file again", e);
        }
    }

    private ModelConfig config() {
        String architecture = architecture();
        boolean qwen2 = architecture.equals("Qwen2ForCausalLM");
        boolean qwen3 = architecture.equals("Qwen3ForCausalLM");
        boolean mistral = architecture.equals("MistralForCausalLM");
        String activation = json.text("hidden_act", "silu");
        if (!activation.equals("silu") && !activation.equals("swish")) {
            throw unsupported("hidden_act " + activation, "silu");
        }
        int hidden = size("hidden_size");
        int heads = size("num_attention_heads");
        int kvHeads = size("num_key_value_heads", heads);
        int headDim = size("head_dim", hidden / heads);
        if (heads % kvHeads != 0) {
            throw new ModelException(file + ": num_attention_heads " + heads + " is not a multiple of num_key_value_heads " + kvHeads
                    + "; fetch the file again");
        }
        if (headDim % 2 != 0) {
            throw unsupported("head_dim " + headDim, "even ones");
        }
        // transformers' own classes fix these, whatever the file says: Mistral never has biases, Qwen2 on q, k and v
        boolean attentionBias = !mistral && !qwen2 && json.bool("attention_bias", false);
        boolean mlpBias = architecture.equals("LlamaForCausalLM") && json.bool("mlp_bias", false);
        JsonObject rope = rope();
        return new ModelConfig(architecture, size("vocab_size"), hidden, size("intermediate_size"), heads, kvHeads, headDim,
                json.number("rms_norm_eps", 1e-6), rope.number("rope_theta", json.number("rope_theta", 10000.0)), ropeScaling(rope),
                size("max_position_embeddings", 2048), json.bool("tie_word_embeddings", false), qwen2 || attentionBias, attentionBias,
                mlpBias, qwen3, windows(mistral), (int) json.integer("bos_token_id", -1), eosTokens());
    }

    private String architecture() {
        List<String> names = json.has("architectures") ? json.texts("architectures") : List.of();
        if (names.size() != 1) {
            throw new ModelException(file + ": \"architectures\" names " + names.size() + " model classes, expected one of " + supported()
                    + "; fetch the file again");
        }
        if (!ARCHITECTURES.contains(names.getFirst())) {
            throw unsupported("architecture " + names.getFirst(), supported());
        }
        return names.getFirst();
    }

    private static String supported() {
        return String.join(", ", ARCHITECTURES);
    }

    /** The rotary settings of either generation; empty where there are none. */
    private JsonObject rope() {
        for (String key : List.of("rope_parameters", "rope_scaling")) {
            if (json.has(key)) {
                return json.object(key);
            }
        }
        return new JsonObject(Map.of());
    }

    private RopeScaling ropeScaling(JsonObject rope) {
        double partial = rope.number("partial_rotary_factor", json.number("partial_rotary_factor", 1.0));
        if (partial != 1.0) {
            throw unsupported("partial_rotary_factor " + partial, "1");
        }
        // older files call it "type"
        String type = rope.text("rope_type", rope.text("type", "default"));
        return switch (type) {
            case "default" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(rope.number("factor"));
            case "llama3" -> new RopeScaling.Llama3(rope.number("factor"), rope.number("low_freq_factor"), rope.number("high_freq_factor"),
                    rope.number("original_max_position_embeddings"));
            default -> throw unsupported("rope type " + type, "default, linear, llama3");
        };
    }

    /** Mistral windows every layer; Qwen those that {@code layer_types} or {@code max_window_layers} names, if switched on. */
    private List<Integer> windows(boolean mistral) {
        int layers = size("num_hidden_layers");
        boolean on = json.has("sliding_window") && (mistral || json.bool("use_sliding_window", false));
        int window = on ? size("sliding_window") : Integer.MAX_VALUE;
        List<Integer> windows = new ArrayList<>(Collections.nCopies(layers, Integer.MAX_VALUE));
        List<String> types = json.has("layer_types") ? json.texts("layer_types") : null;
        if (types != null && types.size() != layers) {
            throw new ModelException(file + ": \"layer_types\" has " + types.size() + " entries for " + layers + " layers; fetch the file again");
        }
        long full = mistral ? 0 : json.integer("max_window_layers", 28);
        for (int i = 0; i < layers; i++) {
            String type = types != null ? types.get(i) : i >= full ? "sliding_attention" : "full_attention";
            switch (type) {
                case "sliding_attention" -> windows.set(i, window);
                case "full_attention" -> { }
                default -> throw unsupported("layer type " + type, "full_attention, sliding_attention");
            }
        }
        return List.copyOf(windows);
    }

    private List<Integer> eosTokens() {
        if (!json.has("eos_token_id")) {
            return List.of();
        }
        if (json.get("eos_token_id") instanceof JsonValue.Num) {
            return List.of((int) json.integer("eos_token_id"));
        }
        return Arrays.stream(json.integers("eos_token_id")).mapToObj(id -> (int) id).toList();
    }

    private ModelException unsupported(String what, String instead) {
        return new ModelException(file + ": " + what + " is not supported; Lowbit runs " + instead);
    }

    private int size(String key, int otherwise) {
        return json.has(key) ? size(key) : otherwise;
    }

    private int size(String key) {
        long value = json.integer(key);
        if (value < 1 || value > Integer.MAX_VALUE) {
            throw new ModelException(file + ": \"" + key + "\" is " + value + ", expected 1 to 2147483647; fetch the file again");
        }
        return (int) value;
    }
}
