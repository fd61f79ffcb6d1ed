package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonValue;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A byte-level BPE {@code tokenizer.json} as llama.cpp's key-value pairs. */
final class GgufTokenizer {
    private static final long NORMAL = 1;
    private static final long CONTROL = 3;
    private static final long USER = 4;
    private static final long UNUSED = 5;
    private static final long FILE_BYTES = 100_000_000;

    private GgufTokenizer() {}

    /**
     * Adds the tokenizer that lies beside a model.
     *
     * @param vocabulary rows of the embedding: tokens that the file lacks are padding
     * @return false where there is none, or one of another kind
     */
    static boolean add(Path folder, int vocabulary, JsonObject config, Map<String, GgufValue> pairs) throws IOException {
        Path file = folder.resolve("tokenizer.json");
        if (!Files.exists(file) || Files.size(file) > FILE_BYTES) {
            return false;
        }
        try {
            JsonObject root = JsonReader.parseObject(Files.readAllBytes(file));
            JsonObject model = root.object("model");
            if (!"BPE".equals(model.text("type", "BPE")) || model.bool("byte_fallback", false)) {
                return false;
            }
            String[] tokens = new String[vocabulary];
            long[] types = new long[vocabulary];
            for (int i = 0; i < vocabulary; i++) {
                tokens[i] = "[PAD" + i + "]";
                types[i] = UNUSED;
            }
            model.object("vocab").members().forEach((token, id) -> put(tokens, types, id, token, NORMAL));
            if (root.has("added_tokens")) {
                for (JsonValue v : root.list("added_tokens")) {
                    if (v instanceof JsonObject o) {
                        put(tokens, types, o.get("id"), o.text("content"), o.bool("special", false) ? CONTROL : USER);
                    }
                }
            }
            List<JsonValue> merges = model.list("merges");
            String[] lines = new String[merges.size()];
            for (int i = 0; i < lines.length; i++) {
                lines[i] = switch (merges.get(i)) {
                    case JsonValue.Text t -> t.value();
                    case JsonValue.Array a when a.size() == 2 && a.get(0) instanceof JsonValue.Text x && a.get(1) instanceof JsonValue.Text y -> x.value() + " " + y.value();
                    default -> throw new JsonException("merges: expected two tokens");
                };
            }
            pairs.put("tokenizer.ggml.model", GgufValue.of("gpt2"));
            pairs.put("tokenizer.ggml.pre", GgufValue.of(pre(config)));
            pairs.put("tokenizer.ggml.tokens", new GgufValue(GgufValue.Type.STRING, tokens));
            pairs.put("tokenizer.ggml.token_type", new GgufValue(GgufValue.Type.I32, types));
            pairs.put("tokenizer.ggml.merges", new GgufValue(GgufValue.Type.STRING, lines));
            special(config, "bos_token_id", "tokenizer.ggml.bos_token_id", pairs);
            special(config, "eos_token_id", "tokenizer.ggml.eos_token_id", pairs);
            return true;
        } catch (JsonException e) {
            throw new CheckpointException(CheckpointException.Fault.HEADER_JSON, file.toString(), e.getMessage(), "repair the file or download it again", e);
        }
    }

    /** How llama.cpp cuts text before it merges; {@code gpt-2} is what a plain byte-level tokenizer does. */
    private static String pre(JsonObject config) {
        return switch (config.text("model_type", "")) {
            case "qwen2", "qwen3" -> "qwen2";
            case "llama" -> config.integer("vocab_size", 0) >= 128_000 ? "llama-bpe" : "gpt-2";
            default -> "gpt-2";
        };
    }

    private static void put(String[] tokens, long[] types, JsonValue id, String token, long type) {
        if (!(id instanceof JsonValue.Num n) || !n.isInteger() || n.longValue() < 0 || n.longValue() >= tokens.length) {
            throw new JsonException("token " + CheckpointException.quote(token) + " has no number below " + tokens.length);
        }
        tokens[(int) n.longValue()] = token;
        types[(int) n.longValue()] = type;
    }

    private static void special(JsonObject config, String key, String to, Map<String, GgufValue> pairs) {
        JsonValue value = config.get(key);
        if (value instanceof JsonValue.Array a && a.size() > 0) {
            value = a.get(0);
        }
        if (value instanceof JsonValue.Num n && n.isInteger() && n.longValue() >= 0) {
            pairs.put(to, GgufValue.u32(n.longValue()));
        }
    }
}
