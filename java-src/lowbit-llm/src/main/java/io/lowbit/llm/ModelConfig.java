package io.lowbit.llm;

import java.util.List;

/**
 * The shape of a Llama-family decoder, as {@code config.json} tells it; {@link ConfigReader} reads it. The families
 * differ only by these fields: Qwen2 has biases on q, k and v, Qwen3 a norm on each query and key head, Mistral a
 * sliding window.
 *
 * @param architecture for example {@code LlamaForCausalLM}
 * @param vocabSize rows of the embedding
 * @param hiddenSize width of the residual stream
 * @param intermediateSize width of the feed-forward network
 * @param heads query heads
 * @param kvHeads key/value heads; divides {@code heads}
 * @param headDim elements of a head; even
 * @param normEpsilon ε of every RMSNorm
 * @param ropeTheta base of the rotary frequencies
 * @param ropeScaling how they are stretched
 * @param maxPositions the context that the model was made for
 * @param tiedHead true where the output layer is the embedding
 * @param qkvBias biases on q, k and v
 * @param outputBias a bias on the attention's output layer
 * @param mlpBias biases on the feed-forward network's layers
 * @param qkNorm RMSNorm on every query and key head, before the rotation
 * @param windows one for each layer: how many positions a row sees, its own included; {@link Integer#MAX_VALUE} for all
 * @param bosToken the token that opens a document; −1 where the model has none
 * @param eosTokens tokens that end a text; may be empty
 */
public record ModelConfig(String architecture, int vocabSize, int hiddenSize, int intermediateSize, int heads, int kvHeads, int headDim,
        double normEpsilon, double ropeTheta, RopeScaling ropeScaling, int maxPositions, boolean tiedHead, boolean qkvBias,
        boolean outputBias, boolean mlpBias, boolean qkNorm, List<Integer> windows, int bosToken, List<Integer> eosTokens) {
    /** Decoder layers. */
    public int layers() {
        return windows.size();
    }

    /** Query heads for each key/value head. */
    public int group() {
        return heads / kvHeads;
    }
}
