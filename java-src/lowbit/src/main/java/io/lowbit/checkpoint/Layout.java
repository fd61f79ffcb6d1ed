package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;

/** The tensor names and packing under which a project stores quantized layers. Converts to and from the canonical layout. */
public interface Layout {
    /** As {@code --layout} calls it. */
    String name();

    /** The layers of a checkpoint that are stored so, each with the names of its tensors. */
    Map<String, List<String>> find(Checkpoint checkpoint);

    /**
     * A layer that {@link #find} found. Parts are views of the file where the packing agrees, else copies in
     * {@code arena}.
     *
     * @throws CheckpointException where the parts do not fit together
     */
    QuantizedMatrix read(Checkpoint checkpoint, String layer, Arena arena);

    /** What {@link #read} would give, where that costs much less to tell. */
    default LayerInfo describe(Checkpoint checkpoint, String layer) {
        try (Arena arena = Arena.ofShared()) {
            return LayerInfo.of(read(checkpoint, layer, arena), DType.BF16);
        }
    }

    /** What a user should know of how a layer is stored, one line each: labels that are wrong, readings that differ. */
    default List<String> remarks(Checkpoint checkpoint, String layer) {
        return List.of();
    }

    /** Why a layer cannot be stored so, with the cure; null where it can. */
    String refusal(LayerInfo info);

    /** The matrix as near to {@code matrix} as this layout can hold: itself but where conventions of scales differ. */
    default QuantizedMatrix fit(QuantizedMatrix matrix) {
        return matrix;
    }

    /** The tensors that {@link #write} will give; null where their sizes depend on the weights. */
    Map<String, TensorSpec> specs(String layer, LayerInfo info);

    /**
     * The layer's tensors by name; {@link #read} gives back the same values bit for bit.
     *
     * @throws IllegalArgumentException where {@link #refusal} says why not
     */
    Map<String, Tensor> write(String layer, QuantizedMatrix matrix, LayerInfo info, Arena arena);

    /**
     * The {@code quantization_config} that tells other programs.
     *
     * @param layers all quantized layers by name, at least one
     * @param skipped linear layers left as they were
     * @throws IllegalArgumentException where one configuration cannot tell of all of them
     */
    Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped);

    /** The one scheme of all layers, where a configuration has words for only one. */
    default LayerInfo uniform(Map<String, LayerInfo> layers) {
        LayerInfo first = layers.values().iterator().next();
        layers.forEach((layer, info) -> {
            if (!info.scheme().equals(first.scheme())) {
                throw new IllegalArgumentException("layout " + name() + " has one scheme for all layers; " + layers.keySet().iterator().next() + " is "
                        + first.scheme().label() + ", " + layer + " is " + info.scheme().label() + "; take --layout compressed-tensors, or quantize them alike");
            }
        });
        return first;
    }

    /** Those of a layer's tensors that there are. */
    static List<String> present(Checkpoint checkpoint, String layer, String... parts) {
        return java.util.Arrays.stream(parts).map(part -> layer + part).filter(checkpoint::has).toList();
    }

    /** A fault of a layer's parts. */
    static CheckpointException wrong(Checkpoint checkpoint, String layer, String why) {
        return new CheckpointException(Fault.LAYOUT, checkpoint.path() + ": layer " + CheckpointException.quote(layer), why,
                "the checkpoint is malformed or damaged: download or quantize it again");
    }

    /** Refuses a matrix that the layout cannot hold. */
    default void require(QuantizedMatrix matrix, LayerInfo info) {
        String why = refusal(info.with(matrix));
        if (why != null) {
            throw new IllegalArgumentException("layout " + name() + ", " + matrix + ": " + why);
        }
    }
}
