package io.lowbit.llm.calibrate;

import io.lowbit.llm.ModelConfig;
import java.util.List;

/**
 * Linear layers of a decoder layer that multiply the same input, quantized together.
 *
 * @param layers their names in the checkpoint
 * @param norm the norm whose output is their input, by its tensor's name; null where it is no norm
 * @param before the linear layer whose output features are their input features, which can take a scale each; null where
 *     there is none: attention with fewer value heads than query heads mixes them
 */
record Stage(List<String> layers, String norm, String before) {
    /** The stages of decoder layer {@code i}, in the order data takes. */
    static List<Stage> of(ModelConfig config, int i) {
        String prefix = "model.layers." + i + ".";
        String attention = prefix + "self_attn.";
        String mlp = prefix + "mlp.";
        boolean oneToOne = config.heads() == config.kvHeads() && !config.qkvBias();
        return List.of(
                new Stage(List.of(attention + "q_proj", attention + "k_proj", attention + "v_proj"), prefix + "input_layernorm.weight", null),
                new Stage(List.of(attention + "o_proj"), null, oneToOne ? attention + "v_proj" : null),
                new Stage(List.of(mlp + "gate_proj", mlp + "up_proj"), prefix + "post_attention_layernorm.weight", null),
                new Stage(List.of(mlp + "down_proj"), null, config.mlpBias() ? null : mlp + "up_proj"));
    }
}
