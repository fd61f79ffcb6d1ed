package io.lowbit.llm.calibrate;

import io.lowbit.quant.Scheme;
import io.lowbit.quant.calibrate.Gptq;
import io.lowbit.quant.calibrate.GptqResult;
import io.lowbit.quant.calibrate.Hessian;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.StringJoiner;
import java.util.function.Function;

/** Each layer by GPTQ. */
final class GptqStage implements StageQuantizer {
    private final CalibrationOptions options;
    private final Arena arena;

    GptqStage(CalibrationOptions options, Arena arena) {
        this.options = options;
        this.arena = arena;
    }

    @Override
    public void quantize(Stage stage, List<String> layers, Map<String, Hessian> seen, Function<String, Tensor> floats, LayerStore.Layer out) {
        for (String layer : layers) {
            GptqResult result = Gptq.quantize(floats.apply(layer + ".weight"), (Scheme.Int4) options.recipe().of(layer), seen.get(layer), options.gptq(), arena);
            out.put(layer, result.matrix());
            out.reports().add(new LayerReport(layer, result.rows(), note(result)));
        }
    }

    private String note(GptqResult result) {
        if (result.rows() == 0) {
            return "no calibration row reached it: rounded to nearest";
        }
        StringJoiner note = new StringJoiner("; ");
        if (result.fewRows()) {
            note.add(result.rows() + " calibration rows for " + result.matrix().k() + " input features: give more text");
        }
        if (result.deadColumns() > 0) {
            note.add(result.deadColumns() + " input features are zero in every row: their weights became zero");
        }
        if (result.damping() > options.gptq().damping()) {
            note.add(String.format(Locale.ROOT, "damping raised to %.2f", result.damping()));
        }
        return note.toString();
    }
}
