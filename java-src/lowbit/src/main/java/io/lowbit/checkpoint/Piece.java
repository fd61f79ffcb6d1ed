package io.lowbit.checkpoint;

import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Map;

/**
 * Tensors of an output that are made together: a layer, or one tensor that is copied.
 *
 * @param name for progress
 * @param source a tensor of the input that it comes from: it goes into the shard of that one
 * @param bytes of memory that making it takes, about
 * @param specs the tensors, by name
 * @param work makes them
 */
record Piece(String name, String source, long bytes, Map<String, TensorSpec> specs, Work work) {
    /** Makes the tensors of a piece. */
    interface Work {
        /**
         * @param in the input, its tensors mapped into {@code arena}
         * @param arena freed when the tensors have been written
         */
        Map<String, Tensor> make(Checkpoint in, Arena arena) throws IOException;
    }

    /** A tensor as it is. */
    static Piece copy(Checkpoint in, String name) {
        TensorSpec spec = TensorSpec.of(in.tensor(name));
        return new Piece(name, name, spec.bytes(), Map.of(name, spec), (c, _) -> Map.of(name, c.tensor(name)));
    }
}
