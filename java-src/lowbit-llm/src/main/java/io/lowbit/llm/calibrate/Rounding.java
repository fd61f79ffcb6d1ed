package io.lowbit.llm.calibrate;

import io.lowbit.checkpoint.LayerQuantizer;
import io.lowbit.checkpoint.LinearWeight;
import io.lowbit.quant.ClipSearch;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.calibrate.Hqq;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Map;

/** Quantizes a checkpoint's layers by an algorithm that looks at nothing but their weights. */
public final class Rounding implements LayerQuantizer {
    private final CalibrationOptions options;

    /** @throws IllegalArgumentException for an algorithm that needs calibration */
    public Rounding(CalibrationOptions options) {
        if (options.algorithm().calibrated()) {
            throw new IllegalArgumentException(options.algorithm().label() + " needs a model that runs over text");
        }
        this.options = options;
    }

    @Override
    public Scheme scheme(LinearWeight layer) {
        return options.recipe().of(layer.layer());
    }

    @Override
    public QuantizedMatrix quantize(LinearWeight layer, Tensor weights, Arena arena) {
        return quantize(weights, scheme(layer), options, arena);
    }

    @Override
    public Map<String, String> manifest() {
        return Manifest.of(options, null);
    }

    /** True where the algorithms other than plain rounding apply: INT4 with a scale for a channel or a group. */
    public static boolean chosen(Scheme scheme) {
        return scheme instanceof Scheme.Int4 s && !(s.grouping() instanceof Grouping.PerTensor);
    }

    static QuantizedMatrix quantize(Tensor weights, Scheme scheme, CalibrationOptions options, Arena arena) {
        if (options.algorithm() == Algorithm.HQQ && chosen(scheme)) {
            return Hqq.quantize(weights, (Scheme.Int4) scheme, options.hqq(), arena);
        }
        boolean clip = options.algorithm() == Algorithm.MSE && scheme instanceof Scheme.Int4;
        return Quantizer.quantize(weights, scheme, clip ? options.rounding().withClip(ClipSearch.GPTQ) : options.rounding(), arena);
    }
}
