package io.lowbit.checkpoint;

import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A GGUF file of a Llama-family model as Hugging Face would have it: its names, and query and key rows in its order where
 * the architecture {@code llama} has llama.cpp's.
 *
 * @param tensors by Hugging Face's names where there are any, as they lie in the file
 * @param types of the same names
 * @param heads of the tensors whose rows have to be reordered
 */
record GgufView(Map<String, Tensor> tensors, Map<String, GgufType> types, Map<String, Long> heads) {
    /** The file under its own names. */
    static GgufView plain(GgufFile file) {
        return new GgufView(file.tensors(), file.types(), Map.of());
    }

    /** The file under Hugging Face's names. */
    static GgufView huggingFace(GgufFile file) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        Map<String, GgufType> types = new LinkedHashMap<>();
        Map<String, Long> heads = new LinkedHashMap<>();
        GgufValue architecture = file.pairs().get("general.architecture");
        boolean reordered = architecture != null && "llama".equals(architecture.value());
        file.tensors().forEach((name, t) -> {
            String renamed = GgufNames.toHuggingFace(name);
            String to = renamed == null ? name : renamed;
            tensors.put(to, t);
            types.put(to, file.types().get(name));
            if (reordered && (to.contains(".self_attn.q_proj.") || to.contains(".self_attn.k_proj."))) {
                heads.put(to, heads(file, to.contains(".q_proj.") ? "llama.attention.head_count" : "llama.attention.head_count_kv"));
            }
        });
        return new GgufView(tensors, types, heads);
    }

    private static long heads(GgufFile file, String key) {
        GgufValue value = file.pairs().getOrDefault(key, file.pairs().get("llama.attention.head_count"));
        if (value == null || !(value.value() instanceof Long count)) {
            throw new CheckpointException(CheckpointException.Fault.METADATA, file.path().toString(), "does not say " + key + " as a number",
                    "give the file itself instead of its folder: its tensors then keep llama.cpp's names and order");
        }
        return count;
    }

    /** A tensor's rows in Hugging Face's order: itself, or a copy in {@code arena}. */
    Tensor ordered(String name, Tensor t, Arena arena) {
        Long count = heads.get(name);
        return count == null ? t : RopeRows.toHuggingFace(t, count, arena == null ? Arena.ofAuto() : arena);
    }
}
