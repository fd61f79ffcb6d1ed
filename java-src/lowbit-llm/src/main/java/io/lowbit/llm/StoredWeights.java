package io.lowbit.llm;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;

/**
 * The weights of a model folder by their Hugging Face names: float tensors, and layers stored quantized in any layout
 * that {@link Layouts} reads. Which layout it is shows nowhere else in the decoder.
 */
final class StoredWeights {
    private final Path folder;
    private final ModelConfig config;
    private final Checkpoint checkpoint;
    private final Layouts layouts;
    private final Scheme scheme;
    private final QuantizeOptions options;

    /**
     * @param scheme what {@link #layer} quantizes float weights to; null for none
     * @throws ModelException where the configuration tells of quantized layers and none is in a layout that Lowbit reads
     */
    StoredWeights(Path folder, ModelConfig config, Checkpoint checkpoint, Scheme scheme, QuantizeOptions options) {
        this.folder = folder;
        this.config = config;
        this.checkpoint = checkpoint;
        this.layouts = Layouts.of(checkpoint);
        this.scheme = scheme;
        this.options = options;
        if (layouts.layers().isEmpty() && checkpoint.quantizationConfig().isPresent()) {
            throw new ModelException(folder + ": the weights are stored quantized by " + method(checkpoint.quantizationConfig().get())
                    + ", and no layer is in a layout that Lowbit reads; see lowbit inspect " + folder + ", or take the float checkpoint");
        }
    }

    private String method(JsonObject config) {
        try {
            return config.text("quant_method", "an unnamed method");
        } catch (JsonException e) {
            throw new ModelException(folder + ": quantization_config: " + e.getMessage() + "; fetch config.json again", e);
        }
    }

    /** Floats of this name and shape. */
    Tensor floats(String name, long... dims) {
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

    /** A layer's weights {@code [n, k]} as they are stored, quantized or not; copies, where it takes any, in {@code arena}. */
    QuantizedMatrix stored(String layer, int n, int k, Arena arena) {
        if (!layouts.has(layer)) {
            return QuantizedMatrix.dense(floats(layer + ".weight", n, k));
        }
        QuantizedMatrix matrix = layouts.read(layer, arena);
        if (matrix.n() != n || matrix.k() != k) {
            throw new ModelException(folder + ": layer " + layer + " is stored as " + matrix + ", config.json asks for " + Shape.of(n, k)
                    + "; fetch config.json and the weights of one model");
        }
        return matrix;
    }

    /** A layer's weights as the model runs them: as {@link #stored}, or quantized to the scheme asked for. */
    QuantizedMatrix layer(String layer, int n, int k, Arena arena) {
        if (scheme == null) {
            return stored(layer, n, k, arena);
        }
        if (layouts.has(layer)) {
            throw new ModelException(folder + ": layer " + layer + " is stored quantized (layout " + layouts.layout(layer).name() + "), " + scheme.label()
                    + " would quantize it a second time; run the model as stored, or make it plain floats with lowbit dequantize first");
        }
        return Quantizer.quantize(floats(layer + ".weight", n, k), scheme, options, arena);
    }

    /** A table that is read by rows, as floats in {@code arena}: of F32 where it is stored quantized. */
    Tensor table(String layer, int n, int k, Arena arena) {
        if (layouts.has(layer)) {
            try (Arena parts = Arena.ofShared()) {
                return Dequantizer.dequantize(stored(layer, n, k, parts), DType.F32, options.threads(), arena);
            }
        }
        Tensor stored = floats(layer + ".weight", n, k);
        Tensor copy = Tensor.allocate(arena, stored.dtype(), stored.shape().dims());
        copy.data().copyFrom(stored.data());
        return copy;
    }
}
