package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
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

    /** Why a matrix cannot be stored so, with the cure; null where it can. */
    String refusal(Scheme scheme, long n, long k);

    /** The matrix as near to {@code matrix} as this layout can hold: itself but where conventions of scales differ. */
    default QuantizedMatrix fit(QuantizedMatrix matrix) {
        return matrix;
    }

    /**
     * The tensors that {@link #write} will give; null where their sizes depend on the weights.
     *
     * @param dtype type of the weights that were quantized
     */
    Map<String, TensorSpec> specs(String layer, Scheme scheme, long n, long k, DType dtype);

    /**
     * The layer's tensors by name; {@link #read} gives back the same values bit for bit.
     *
     * @param dtype type of the weights that were quantized
     * @throws IllegalArgumentException where {@link #refusal} says why not
     */
    Map<String, Tensor> write(String layer, QuantizedMatrix matrix, DType dtype, Arena arena);

    /**
     * The {@code quantization_config} that tells other programs.
     *
     * @param dtype type of the weights that were quantized
     * @param skipped linear layers left as they were
     */
    Map<String, Object> config(Scheme scheme, DType dtype, List<String> skipped);

    /** A fault of a layer's parts. */
    static CheckpointException wrong(Checkpoint checkpoint, String layer, String why) {
        return new CheckpointException(Fault.LAYOUT, checkpoint.path() + ": layer " + CheckpointException.quote(layer), why,
                "the checkpoint is malformed or damaged: download or quantize it again");
    }

    /** Refuses a matrix that the layout cannot hold. */
    default void require(QuantizedMatrix matrix) {
        String why = refusal(matrix.scheme(), matrix.n(), matrix.k());
        if (why != null) {
            throw new IllegalArgumentException("layout " + name() + ", " + matrix + ": " + why);
        }
    }
}
