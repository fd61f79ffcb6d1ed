package io.lowbit.llm.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Session;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.calibrate.Awq;
import io.lowbit.quant.calibrate.Gptq;
import io.lowbit.quant.calibrate.Hessian;
import io.lowbit.quant.calibrate.OutputErrors;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.DoubleSupplier;

/**
 * Measures what each scheme costs in each layer. The error of a layer's output is measured for every scheme, from the
 * second moments of its inputs in the unchanged model. What an output error costs the model is measured once a layer, with
 * a coarse probe: the divergence of the model's predictions with only that layer probed. To first order the divergence is
 * proportional to the squared output error, so a scheme's loss is the probe's, scaled by the ratio of errors.
 */
public final class Sensitivity {
    /** Coarse enough to be seen in the predictions, fine enough to stay proportional. */
    private static final Scheme.Int4 PROBE = new Scheme.Int4(Grouping.CHANNEL, true);
    private static final int TIMINGS = 15;

    private Sensitivity() {}

    /**
     * Measures all choices.
     *
     * @param text moments are summed over all its windows
     * @param probes the first so many windows also measure divergence
     * @param each told of every layer when it is done
     */
    public static List<List<Choice>> measure(Path folder, Backend backend, CalibrationText text, int probes, List<Scheme> schemes,
            CalibrationOptions options, Consumer<String> each) throws IOException {
        List<List<Choice>> out = new ArrayList<>();
        int size = text.length() * LlamaModel.config(folder).hiddenSize();
        int[][] probed = Arrays.copyOf(text.windows(), Math.min(probes, text.windows().length));
        try (Checkpoint checkpoint = Checkpoint.open(folder);
                LlamaModel model = LlamaModel.load(folder, new TappedBackend(backend), null, QuantizeOptions.DEFAULT.withThreads(options.threads()));
                Session session = model.newSession(text.length());
                HiddenStates hidden = new HiddenStates(text.windows().length, size);
                HiddenStates before = new HiddenStates(probed.length, size);
                Divergence divergence = new Divergence(model, probed, options.threads())) {
            hidden.embed(session, text.windows());
            for (int i = 0; i < model.config().layers(); i++) {
                before.copyFrom(hidden);
                Map<String, Hessian> moments = moments(model, session, hidden, i, text, options.threads());
                int decoderLayer = i;
                for (Stage stage : Stage.of(model.config(), i)) {
                    for (String layer : stage.layers()) {
                        Tensor weights = checkpoint.tensor(layer + ".weight");
                        Tensor bias = checkpoint.has(layer + ".bias") ? checkpoint.tensor(layer + ".bias") : null;
                        out.add(choices(layer, weights, bias, moments.get(stage.layers().getFirst()), model, backend,
                                () -> divergence.of(model, before, decoderLayer), schemes, options));
                        each.accept(layer);
                    }
                }
            }
        }
        return out;
    }

    /** One pass of all windows through decoder layer {@code i}, listening at the first layer of every stage. */
    private static Map<String, Hessian> moments(LlamaModel model, Session session, HiddenStates hidden, int i, CalibrationText text, int threads) {
        Map<String, Hessian> moments = new LinkedHashMap<>();
        for (Stage stage : Stage.of(model.config(), i)) {
            Tap tap = (Tap) model.linears().get(stage.layers().getFirst());
            Hessian hessian = new Hessian((int) tap.inFeatures());
            tap.listen(x -> hessian.add(x, threads));
            moments.put(stage.layers().getFirst(), hessian);
        }
        hidden.advance(session, i, text.windows().length, text.length(), true);
        moments.keySet().forEach(name -> ((Tap) model.linears().get(name)).listen(null));
        return moments;
    }

    private static List<Choice> choices(String layer, Tensor weights, Tensor bias, Hessian hessian, LlamaModel model, Backend backend,
            DoubleSupplier divergence, List<Scheme> schemes, CalibrationOptions options) {
        Tap tap = (Tap) model.linears().get(layer);
        double perError;
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix probe = Rounding.quantize(weights, PROBE, options, arena);
            tap.replace(backend.load(probe, bias), null);
            double error = OutputErrors.relativeSquared(weights, probe, hessian, options.threads());
            perError = error == 0 ? 0 : divergence.getAsDouble() / error;
        } finally {
            tap.replace(backend.load(QuantizedMatrix.dense(weights), bias), null);
        }
        List<Choice> out = new ArrayList<>();
        for (Scheme scheme : schemes) {
            try (Arena arena = Arena.ofShared()) {
                QuantizedMatrix m = scheme instanceof Scheme.Dense ? QuantizedMatrix.dense(weights) : quantize(weights, scheme, hessian, options, arena);
                double error = scheme instanceof Scheme.Dense ? 0 : OutputErrors.relativeSquared(weights, m, hessian, options.threads());
                out.add(new Choice(layer, scheme instanceof Scheme.Dense ? m.scheme() : scheme, m.bytes(), error, perError * error, seconds(m, backend)));
            }
        }
        return out;
    }

    /** As the model will be quantized; AWQ's scales cannot be tried on one layer alone, its clipping can. */
    private static QuantizedMatrix quantize(Tensor weights, Scheme scheme, Hessian hessian, CalibrationOptions options, Arena arena) {
        if (Rounding.chosen(scheme)) {
            Scheme.Int4 int4 = (Scheme.Int4) scheme;
            switch (options.algorithm()) {
                case GPTQ -> {
                    return Gptq.quantize(weights, int4, hessian, options.gptq(), arena).matrix();
                }
                case AWQ -> {
                    float[] ones = new float[hessian.features()];
                    Arrays.fill(ones, 1f);
                    return Awq.quantize(weights, ones, int4, hessian, options.awq(), arena);
                }
                default -> {}
            }
        }
        return Rounding.quantize(weights, scheme, options, arena);
    }

    /** The median of some products with one row. */
    private static double seconds(QuantizedMatrix matrix, Backend backend) {
        try (Arena arena = Arena.ofShared(); Linear linear = backend.load(matrix)) {
            Tensor x = Tensor.allocate(arena, DType.F32, 1, matrix.k());
            for (long i = 0; i < matrix.k(); i++) {
                x.setFloat(i, (float) Math.sin(i));
            }
            Tensor y = Tensor.allocate(arena, DType.F32, 1, matrix.n());
            double[] times = new double[TIMINGS];
            for (int i = 0; i < TIMINGS; i++) {
                long start = System.nanoTime();
                linear.forward(x, y);
                times[i] = (System.nanoTime() - start) * 1e-9;
            }
            Arrays.sort(times);
            return times[TIMINGS / 2];
        }
    }
}
