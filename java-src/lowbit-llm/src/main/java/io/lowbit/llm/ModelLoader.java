package io.lowbit.llm;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;

/** Turns a Hugging Face folder into a {@link LlamaModel}: names and shapes of the tensors, one layer after another. */
final class ModelLoader {
    private static final String EMBEDDING = "model.embed_tokens";

    private final Path folder;
    private final ModelConfig config;
    private final StoredWeights weights;
    private final Backend backend;
    private final LinkedHashMap<String, Linear> linears = new LinkedHashMap<>();

    private ModelLoader(Path folder, ModelConfig config, StoredWeights weights, Backend backend) {
        this.folder = folder;
        this.config = config;
        this.weights = weights;
        this.backend = backend;
    }

    static LlamaModel load(Path folder, Backend backend, Scheme scheme, QuantizeOptions options) throws IOException {
        ModelConfig config = ConfigReader.read(folder);
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            return new ModelLoader(folder, config, new StoredWeights(folder, config, checkpoint, scheme, options), backend).model(options.threads());
        }
    }

    private LlamaModel model(int threads) {
        Arena arena = Arena.ofShared();
        Linear head = null;
        try {
            Tensor embedding = weights.table(EMBEDDING, config.vocabSize(), config.hiddenSize(), arena);
            List<DecoderLayer> layers = new ArrayList<>();
            for (int i = 0; i < config.layers(); i++) {
                layers.add(layer("model.layers." + i + ".", config.windows().get(i)));
            }
            RmsNorm norm = norm("model.norm", config.hiddenSize());
            head = head();
            ModelParts parts = new ModelParts(config, embedding, List.copyOf(layers), norm, head);
            Workers workers = new Workers(threads);
            return new LlamaModel(parts, arena, linears, workers, Engine.of(backend, parts, workers));
        } catch (RuntimeException e) {
            linears.values().forEach(Linear::close);
            if (head != null) {
                head.close();
            }
            arena.close();
            throw e;
        }
    }

    private DecoderLayer layer(String prefix, int window) {
        int hidden = config.hiddenSize();
        int wide = config.intermediateSize();
        int queries = config.heads() * config.headDim();
        int keys = config.kvHeads() * config.headDim();
        String attention = prefix + "self_attn.";
        String mlp = prefix + "mlp.";
        return new DecoderLayer(
                norm(prefix + "input_layernorm", hidden),
                linear(attention + "q_proj", queries, hidden, config.qkvBias()),
                linear(attention + "k_proj", keys, hidden, config.qkvBias()),
                linear(attention + "v_proj", keys, hidden, config.qkvBias()),
                linear(attention + "o_proj", hidden, queries, config.outputBias()),
                config.qkNorm() ? norm(attention + "q_norm", config.headDim()) : null,
                config.qkNorm() ? norm(attention + "k_norm", config.headDim()) : null,
                norm(prefix + "post_attention_layernorm", hidden),
                linear(mlp + "gate_proj", wide, hidden, config.mlpBias()),
                linear(mlp + "up_proj", wide, hidden, config.mlpBias()),
                linear(mlp + "down_proj", hidden, wide, config.mlpBias()),
                window);
    }

    private RmsNorm norm(String name, int size) {
        return new RmsNorm(weights.floats(name + ".weight", size).toFloats(), config.normEpsilon());
    }

    private Linear linear(String name, int n, int k, boolean biased) {
        Tensor bias = biased ? weights.floats(name + ".bias", n) : null;
        try (Arena arena = Arena.ofShared()) {
            Linear linear = backend.load(weights.layer(name, n, k, arena), bias);
            linears.put(name, linear);
            return linear;
        } catch (ModelException e) {
            throw e;
        } catch (IllegalArgumentException e) {
            throw new ModelException(folder + ": layer " + name + ": " + e.getMessage(), e);
        }
    }

    /** The output layer: never quantized on the fly. */
    private Linear head() {
        try (Arena arena = Arena.ofShared()) {
            return backend.load(weights.stored(config.tiedHead() ? EMBEDDING : "lm_head", config.vocabSize(), config.hiddenSize(), arena));
        }
    }
}
