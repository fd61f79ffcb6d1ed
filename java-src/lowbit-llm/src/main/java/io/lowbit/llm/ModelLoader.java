package io.lowbit.llm;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;

/** Turns a Hugging Face folder into a {@link LlamaModel}: names and shapes of the tensors, one layer after another. */
final class ModelLoader {
    private final Path folder;
    private final ModelConfig config;
    private final Checkpoint checkpoint;
    private final Backend backend;
    private final Scheme scheme;
    private final QuantizeOptions options;
    private final LinkedHashMap<String, Linear> linears = new LinkedHashMap<>();

    private ModelLoader(Path folder, ModelConfig config, Checkpoint checkpoint, Backend backend, Scheme scheme, QuantizeOptions options) {
        this.folder = folder;
        this.config = config;
        this.checkpoint = checkpoint;
        this.backend = backend;
        this.scheme = scheme;
        this.options = options;
    }

    static LlamaModel load(Path folder, Backend backend, Scheme scheme, QuantizeOptions options) throws IOException {
        ModelConfig config = ConfigReader.read(folder);
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            return new ModelLoader(folder, config, checkpoint, backend, scheme, options).model();
        }
    }

    private LlamaModel model() {
        Arena arena = Arena.ofShared();
        Linear head = null;
        try {
            Tensor stored = tensor("model.embed_tokens.weight", config.vocabSize(), config.hiddenSize());
            Tensor embedding = Tensor.allocate(arena, stored.dtype(), stored.shape().dims());
            embedding.data().copyFrom(stored.data());
            List<DecoderLayer> layers = new ArrayList<>();
            for (int i = 0; i < config.layers(); i++) {
                layers.add(layer("model.layers." + i + ".", config.windows().get(i)));
            }
            RmsNorm norm = norm("model.norm", config.hiddenSize());
            Tensor output = config.tiedHead() ? stored : tensor("lm_head.weight", config.vocabSize(), config.hiddenSize());
            head = backend.load(QuantizedMatrix.dense(output));
            return new LlamaModel(config, arena, linears, embedding, List.copyOf(layers), norm, head, new Workers(options.threads()));
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
        return new RmsNorm(tensor(name + ".weight", size).toFloats(), config.normEpsilon());
    }

    private Linear linear(String name, int n, int k, boolean biased) {
        Tensor bias = biased ? tensor(name + ".bias", n) : null;
        try (Arena quantized = Arena.ofShared()) {
            Tensor weight = tensor(name + ".weight", n, k);
            QuantizedMatrix matrix = scheme == null ? QuantizedMatrix.dense(weight) : Quantizer.quantize(weight, scheme, options, quantized);
            Linear linear = backend.load(matrix, bias);
            linears.put(name, linear);
            return linear;
        } catch (ModelException e) {
            throw e;
        } catch (IllegalArgumentException e) {
            throw new ModelException(folder + ": layer " + name + ": " + e.getMessage(), e);
        }
    }

    private Tensor tensor(String name, long... dims) {
        if (!checkpoint.has(name)) {
            throw new ModelException(folder + ": no tensor " + name + ", which config.json's " + config.architecture()
                    + " needs; fetch the folder's safetensors files again, all of them");
        }
        Tensor tensor = checkpoint.tensor(name);
        if (!tensor.dtype().isFloat() || !tensor.shape().equals(Shape.of(dims))) {
            throw new ModelException(folder + ": tensor " + name + " is " + tensor.dtype() + " " + tensor.shape() + ", config.json asks for floats "
                    + Shape.of(dims) + "; fetch config.json and the weights of one model");
        }
        return tensor;
    }
}
