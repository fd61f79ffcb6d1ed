package io.lowbit.llm.calibrate;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.calibrate.Awq;
import io.lowbit.quant.calibrate.AwqScales;
import io.lowbit.quant.calibrate.Hessian;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/**
 * The layers of a stage by AWQ: one scale a feature of their common input, folded into what makes that input. A norm keeps
 * its stored type, so its weight is rounded after the division and the scales are taken from the rounded quotient: the
 * folded model computes what the original does. A linear layer in front has its rows divided and is rounded again.
 */
final class AwqStage implements StageQuantizer {
    private final CalibrationOptions options;
    private final Arena arena;
    /** Scales of the inputs of layers already quantized, by layer: a layer in front may have to be rounded again. */
    private final Map<String, float[]> inputScales = new HashMap<>();

    AwqStage(CalibrationOptions options, Arena arena) {
        this.options = options;
        this.arena = arena;
    }

    @Override
    public void quantize(Stage stage, List<String> layers, Map<String, Hessian> seen, Function<String, Tensor> floats, LayerStore.Layer out) {
        Hessian hessian = seen.get(layers.getFirst());
        List<Tensor> weights = layers.stream().map(layer -> floats.apply(layer + ".weight")).toList();
        float[] scales = new float[hessian.features()];
        Arrays.fill(scales, 1f);
        boolean folded = hessian.rows() > 0 && foldable(stage, layers);
        String note = "nothing in front of it can take scales: clipped only";
        if (hessian.rows() == 0) {
            note = "no calibration row reached it: rounded to nearest";
        } else if (folded) {
            AwqScales found = Awq.search(weights, scheme(layers.getFirst()), hessian, options.awq());
            scales = stage.norm() != null ? intoNorm(floats.apply(stage.norm()), stage.norm(), found.scales(), out) : found.scales();
            for (Tensor w : weights) {
                FoldCheck.require(w, scales, hessian.meanMagnitudes());
            }
            if (stage.before() != null) {
                intoLinear(stage.before(), scales, seen.get(stage.before()), floats, out);
            }
            note = String.format(Locale.ROOT, "ratio %.2f, output error %.4f, rounded plainly %.4f", found.ratio(), Math.sqrt(found.error()),
                    Math.sqrt(found.roundingError()));
        }
        for (int i = 0; i < weights.size(); i++) {
            String layer = layers.get(i);
            inputScales.put(layer, scales);
            QuantizedMatrix matrix = Awq.quantize(weights.get(i), scales, scheme(layer), hessian, options.awq(), arena);
            out.put(layer, matrix);
            if (folded) {
                out.divisors().put(layer, scales);
            }
            if (folded && stage.norm() != null) {
                out.running().add(layer);
            }
            out.reports().add(new LayerReport(layer, hessian.rows(), note));
        }
    }

    /** A norm feeds all layers of the stage, so all must take the scales; a linear layer in front must be of this algorithm too. */
    private boolean foldable(Stage stage, List<String> layers) {
        return stage.norm() != null ? layers.equals(stage.layers()) : stage.before() != null && inputScales.containsKey(stage.before());
    }

    private Scheme.Int4 scheme(String layer) {
        return (Scheme.Int4) options.recipe().of(layer);
    }

    /** Stores norm / s in the norm's own type; the scales that the stored weights stand for. */
    private float[] intoNorm(Tensor norm, String name, float[] wanted, LayerStore.Layer out) {
        Tensor folded = Tensor.allocate(arena, norm.dtype(), norm.shape().dims());
        float[] scales = new float[wanted.length];
        for (int i = 0; i < scales.length; i++) {
            float weight = norm.getFloat(i);
            folded.setFloat(i, weight / wanted[i]);
            float scale = weight / folded.getFloat(i);
            if (!(scale > 0) || !Float.isFinite(scale)) {
                folded.setFloat(i, weight);
                scale = 1f;
            }
            scales[i] = scale;
        }
        out.replaced().put(name, folded);
        return scales;
    }

    /** Rounds the layer in front again, its rows divided by the scales. */
    private void intoLinear(String before, float[] divisors, Hessian hessian, Function<String, Tensor> floats, LayerStore.Layer out) {
        try (Arena scratch = Arena.ofShared()) {
            Tensor weights = floats.apply(before + ".weight");
            long k = weights.dim(1);
            Tensor divided = Tensor.allocate(scratch, DType.F32, weights.shape().dims());
            for (long r = 0; r < weights.dim(0); r++) {
                for (long c = 0; c < k; c++) {
                    divided.setFloat(r * k + c, weights.getFloat(r * k + c) / divisors[(int) r]);
                }
            }
            float[] scales = inputScales.get(before);
            QuantizedMatrix matrix = Awq.quantize(divided, scales, scheme(before), hessian, options.awq(), arena);
            out.put(before, matrix);
            out.outputs().put(before, divisors);
        }
    }
}
