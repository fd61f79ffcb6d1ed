package io.lowbit.llm.calibrate;

import io.lowbit.quant.calibrate.Hessian;
import io.lowbit.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Quantizes layers of one stage by a calibrated algorithm. */
interface StageQuantizer {
    /**
     * Adds matrices of {@code layers} to {@code out}, and what had to change in front of them.
     *
     * @param layers those of the stage's layers that this algorithm takes; the others are left to rounding
     * @param seen moments of the inputs of this stage's layers and of those before it in the decoder layer, by layer name
     * @param floats the checkpoint's float tensors by name
     */
    void quantize(Stage stage, List<String> layers, Map<String, Hessian> seen, Function<String, Tensor> floats, LayerStore.Layer out);
}
