package io.lowbit.llm.calibrate;

import io.lowbit.quant.calibrate.Hessian;
import io.lowbit.tensor.Tensor;
import java.util.Map;
import java.util.function.Function;

/** Quantizes the layers of one stage. */
interface StageQuantizer {
    /**
     * Adds the stage's matrices to {@code out}, and what had to change in front of them.
     *
     * @param seen moments of the inputs of this stage's layers and of those before it in the decoder layer, by layer name
     * @param floats the checkpoint's float tensors by name
     */
    void quantize(Stage stage, Map<String, Hessian> seen, Function<String, Tensor> floats, LayerStore.Layer out);
}
