package io.lowbit.llm;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.SequencedMap;

/**
 * The weights of a Llama-family model on a backend. Immutable and safe for several {@link Session}s at once; closing
 * it frees its layers, and sessions must not be used afterwards.
 */
public final class LlamaModel implements AutoCloseable {
    private final ModelParts parts;
    private final Arena arena;
    private final SequencedMap<String, Linear> linears;
    private final Workers workers;
    private final Engine engine;

    /** Takes everything over, {@code arena} and the layers too. */
    LlamaModel(ModelParts parts, Arena arena, SequencedMap<String, Linear> linears, Workers workers, Engine engine) {
        this.parts = parts;
        this.arena = arena;
        this.linears = linears;
        this.workers = workers;
        this.engine = engine;
    }

    /**
     * Loads a Hugging Face folder: {@code config.json} and {@code model.safetensors}, or its shards with their index.
     *
     * @param folder the model
     * @param backend where every linear layer goes; stays the caller's to close, after the model
     * @param scheme quantizes every linear layer but the output layer ({@code lm_head}) on the fly; null for the
     *     weights as they are stored, floats or quantized
     * @param options how to quantize; {@code threads} also for the work between the linear layers
     * @throws ModelException when the folder does not hold a model that this decoder computes
     */
    public static LlamaModel load(Path folder, Backend backend, Scheme scheme, QuantizeOptions options) throws IOException {
        return ModelLoader.load(folder, backend, scheme, options);
    }

    /**
     * The shape of the model in a folder, without its weights.
     *
     * @throws ModelException when its configuration is not one that this decoder computes
     */
    public static ModelConfig config(Path folder) throws IOException {
        return ConfigReader.read(folder);
    }

    public ModelConfig config() {
        return parts.config();
    }

    /** The decoder layers' linear layers by their names in the checkpoint, for example {@code model.layers.0.mlp.up_proj}. */
    public SequencedMap<String, Linear> linears() {
        return Collections.unmodifiableSequencedMap(linears);
    }

    /** Bytes of {@link #linears()} on the backend: what a scheme makes smaller. */
    public long linearBytes() {
        return linears.values().stream().mapToLong(Linear::bytes).sum();
    }

    /** Bytes of all weights held: the linear layers, the output layer, the embedding and the norms. */
    public long bytes() {
        long norms = parts.norm().weight().length;
        for (DecoderLayer layer : parts.layers()) {
            norms += layer.attentionNorm().weight().length + layer.mlpNorm().weight().length;
            norms += layer.queryNorm() == null ? 0 : layer.queryNorm().weight().length + layer.keyNorm().weight().length;
        }
        return linearBytes() + head().bytes() + embedding().data().byteSize() + norms * Float.BYTES;
    }

    /** Type of the activations between layers: {@code f32}, or {@code bf16} where they stay on a GPU. */
    public String activations() {
        return engine.activations();
    }

    /** A new sequence of at most {@code capacity} positions, fed in passes of at most {@link Session#MAX_ROWS} tokens. */
    public Session newSession(int capacity) {
        return new Session(this, capacity, Math.min(capacity, Session.MAX_ROWS));
    }

    Tensor embedding() {
        return parts.embedding();
    }

    Linear head() {
        return parts.head();
    }

    Engine engine() {
        return engine;
    }

    Workers workers() {
        return workers;
    }

    /** Frees the layers on the backend and the embedding; a second call does nothing. */
    @Override
    public void close() {
        if (!arena.scope().isAlive()) {
            return;
        }
        engine.close();
        workers.close();
        linears.values().forEach(Linear::close);
        head().close();
        arena.close();
    }
}
