package io.lowbit.checkpoint;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Names of a Llama-family model's tensors: Hugging Face's and llama.cpp's. */
final class GgufNames {
    private static final Map<String, String> TOP = Map.of("model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output");
    private static final Map<String, String> LAYER = layer();
    private static final Pattern HF = Pattern.compile("model\\.layers\\.(\\d+)\\.(.+)\\.(weight|bias)");
    private static final Pattern GGUF = Pattern.compile("blk\\.(\\d+)\\.(.+)\\.(weight|bias)");

    private GgufNames() {}

    private static Map<String, String> layer() {
        Map<String, String> out = new LinkedHashMap<>();
        out.put("input_layernorm", "attn_norm");
        out.put("self_attn.q_proj", "attn_q");
        out.put("self_attn.k_proj", "attn_k");
        out.put("self_attn.v_proj", "attn_v");
        out.put("self_attn.o_proj", "attn_output");
        out.put("self_attn.q_norm", "attn_q_norm");
        out.put("self_attn.k_norm", "attn_k_norm");
        out.put("post_attention_layernorm", "ffn_norm");
        out.put("mlp.gate_proj", "ffn_gate");
        out.put("mlp.up_proj", "ffn_up");
        out.put("mlp.down_proj", "ffn_down");
        return out;
    }

    /** llama.cpp's name for Hugging Face's; null where it has none. */
    static String toGguf(String name) {
        return rename(name, HF, TOP, LAYER, "blk.");
    }

    /** Hugging Face's name for llama.cpp's; null where it has none. */
    static String toHuggingFace(String name) {
        return rename(name, GGUF, inverse(TOP), inverse(LAYER), "model.layers.");
    }

    private static String rename(String name, Pattern pattern, Map<String, String> top, Map<String, String> layer, String prefix) {
        Matcher m = pattern.matcher(name);
        if (m.matches()) {
            String part = layer.get(m.group(2));
            return part == null ? null : prefix + m.group(1) + "." + part + "." + m.group(3);
        }
        int dot = name.lastIndexOf('.');
        String part = dot < 0 ? null : top.get(name.substring(0, dot));
        return part == null ? null : part + name.substring(dot);
    }

    private static Map<String, String> inverse(Map<String, String> map) {
        Map<String, String> out = new LinkedHashMap<>();
        map.forEach((a, b) -> out.put(b, a));
        return out;
    }
}
