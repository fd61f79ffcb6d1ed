package io.lowbit.llm.calibrate;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.Tensor;
import java.util.List;
import java.util.Map;

/**
 * The quantized layers of a model, ready to be written.
 *
 * @param layers matrices by layer name
 * @param replaced tensors that scales were folded into (norms), by name
 * @param reports one a layer, in order
 */
public record CalibratedModel(Map<String, QuantizedMatrix> layers, Map<String, Tensor> replaced, List<LayerReport> reports) {}
