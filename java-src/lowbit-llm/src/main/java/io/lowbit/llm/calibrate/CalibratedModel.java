package io.lowbit.llm.calibrate;

import io.lowbit.checkpoint.LayerQuantizer;
import io.lowbit.checkpoint.LinearWeight;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * The quantized layers of a model, ready to be written.
 *
 * @param layers matrices by layer name
 * @param divisors what the original's input of a layer is to be divided by, by layer name; absent for none
 * @param outputs what a layer's output is to be multiplied with to be the original's, by layer name; absent for none
 * @param replaced norms that scales were folded into, by tensor name
 * @param reports one a layer, in order
 */
public record CalibratedModel(Map<String, QuantizedMatrix> layers, Map<String, float[]> divisors, Map<String, float[]> outputs,
        Map<String, Tensor> replaced, List<LayerReport> reports) {
    static CalibratedModel empty() {
        return new CalibratedModel(new LinkedHashMap<>(), new LinkedHashMap<>(), new LinkedHashMap<>(), new LinkedHashMap<>(), new ArrayList<>());
    }

    void add(LayerStore.Layer layer, Consumer<LayerReport> each) {
        layers.putAll(layer.matrices());
        divisors.putAll(layer.divisors());
        outputs.putAll(layer.outputs());
        replaced.putAll(layer.replaced());
        for (LayerReport report : layer.reports()) {
            reports.add(report);
            each.accept(report);
        }
    }

    /** Bytes of the quantized layers. */
    public long bytes() {
        return layers.values().stream().mapToLong(QuantizedMatrix::bytes).sum();
    }

    /** To write a checkpoint with these matrices. */
    public LayerQuantizer quantizer(CalibrationOptions options, CalibrationText text) {
        return new LayerQuantizer() {
            @Override
            public Scheme scheme(LinearWeight layer) {
                QuantizedMatrix matrix = layers.get(layer.layer());
                return matrix == null ? null : matrix.scheme();
            }

            @Override
            public QuantizedMatrix quantize(LinearWeight layer, Tensor weights, Arena arena) {
                return layers.get(layer.layer());
            }

            @Override
            public boolean actOrder(LinearWeight layer) {
                return layers.get(layer.layer()).groups() != null;
            }

            @Override
            public boolean comparable(LinearWeight layer) {
                return options.algorithm() != Algorithm.AWQ;
            }

            @Override
            public Map<String, Tensor> replaced() {
                return replaced;
            }

            @Override
            public Map<String, String> manifest() {
                return Manifest.of(options, text);
            }
        };
    }
}
