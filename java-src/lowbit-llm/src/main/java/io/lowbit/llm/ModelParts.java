package io.lowbit.llm;

import io.lowbit.backend.Linear;
import io.lowbit.tensor.Tensor;
import java.util.List;

/**
 * The weights of a model: what a {@link Decoder} computes with.
 *
 * @param embedding {@code [vocabulary, hiddenSize]} floats
 * @param norm before the output layer
 * @param head the output layer
 */
record ModelParts(ModelConfig config, Tensor embedding, List<DecoderLayer> layers, RmsNorm norm, Linear head) {
    /** The norm after {@code layer} layers: the next layer's first, or the last one. */
    RmsNorm normAfter(int layer) {
        return layer < layers.size() ? layers.get(layer).attentionNorm() : norm;
    }
}
