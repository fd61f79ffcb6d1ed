package io.lowbit.checkpoint;

import io.lowbit.quant.GgmlQuantizer;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Map;

/** Makes the quantized matrix of each layer while a checkpoint is written. */
public interface LayerQuantizer {
    /** The scheme of a layer; null leaves it as it is. */
    Scheme scheme(LinearWeight layer);

    /**
     * A layer's matrix; asked again, the same one.
     *
     * @param weights {@code [N, K]}
     * @param arena where parts may be allocated
     * @throws IllegalArgumentException where the weights are refused
     */
    QuantizedMatrix quantize(LinearWeight layer, Tensor weights, Arena arena);

    /** True where a layer's matrix will have {@link QuantizedMatrix#groups()}. */
    default boolean actOrder(LinearWeight layer) {
        return false;
    }

    /** Whether the matrix stands for the layer's weights themselves: false where scales were folded into other tensors. */
    default boolean comparable(LinearWeight layer) {
        return true;
    }

    /** Tensors to be written in place of the checkpoint's own, of the same types and shapes, by name. */
    default Map<String, Tensor> replaced() {
        return Map.of();
    }

    /** How it was done, for the file's metadata: enough to do it again to the byte. */
    default Map<String, String> manifest() {
        return Map.of();
    }

    /** One scheme for all, rounded as ggml does. */
    static LayerQuantizer ggml(Scheme scheme) {
        return new LayerQuantizer() {
            @Override
            public Scheme scheme(LinearWeight layer) {
                return scheme;
            }

            @Override
            public QuantizedMatrix quantize(LinearWeight layer, Tensor weights, Arena arena) {
                return GgmlQuantizer.quantize(weights, scheme, arena);
            }
        };
    }

    /** One scheme for all, rounded as {@code options} say. */
    static LayerQuantizer rounding(Scheme scheme, QuantizeOptions options) {
        return new LayerQuantizer() {
            @Override
            public Scheme scheme(LinearWeight layer) {
                return scheme;
            }

            @Override
            public QuantizedMatrix quantize(LinearWeight layer, Tensor weights, Arena arena) {
                return Quantizer.quantize(weights, scheme, options, arena);
            }
        };
    }
}
