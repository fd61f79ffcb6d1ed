package io.lowbit.llm.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.ModelException;
import io.lowbit.llm.Session;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.calibrate.Hessian;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Quantizes a model by a recipe. A calibrated algorithm runs text through it and quantizes its linear layers, decoder layer by
 * decoder layer: what a layer is calibrated on has passed the quantized layers in front of it. Memory holds the float model on the
 * backend, one layer's moments and the quantized layers; the windows' hidden states lie in a mapped file.
 */
public final class Calibrator implements AutoCloseable {
    private final Checkpoint checkpoint;
    private final LlamaModel model;
    private final Backend backend;
    private final CalibrationText text;
    private final StageQuantizer quantizer;
    private final CalibrationOptions options;
    private final Arena arena;

    private Calibrator(Checkpoint checkpoint, LlamaModel model, Backend backend, CalibrationText text, CalibrationOptions options, Arena arena) {
        this.checkpoint = checkpoint;
        this.model = model;
        this.backend = backend;
        this.text = text;
        this.options = options;
        this.arena = arena;
        this.quantizer = switch (options.algorithm()) {
            case GPTQ -> new GptqStage(options, arena);
            case AWQ -> new AwqStage(options, arena);
            default -> null;
        };
    }

    /**
     * Opens a model for calibration.
     *
     * @param folder a Hugging Face folder with float weights
     * @param text null for an algorithm that needs none
     * @param arena where the quantized layers go
     */
    public static Calibrator open(Path folder, Backend backend, CalibrationText text, CalibrationOptions options, Arena arena) throws IOException {
        if (options.algorithm().calibrated() && text == null) {
            throw new IllegalArgumentException(options.algorithm().label() + " needs calibration text");
        }
        if (text != null && text.length() > Session.MAX_ROWS) {
            throw new IllegalArgumentException("calibration windows of " + text.length() + " tokens: expected at most " + Session.MAX_ROWS);
        }
        Checkpoint checkpoint = Checkpoint.open(folder);
        LlamaModel model = null;
        boolean done = false;
        try {
            model = LlamaModel.load(folder, new TappedBackend(backend), null, QuantizeOptions.DEFAULT.withThreads(options.threads()));
            options.recipe().require(model.linears().keySet());
            Calibrator calibrator = new Calibrator(checkpoint, model, backend, text, options, arena);
            done = true;
            return calibrator;
        } finally {
            if (!done) {
                if (model != null) {
                    model.close();
                }
                checkpoint.close();
            }
        }
    }

    /**
     * Quantizes every linear layer that the recipe gives a scheme.
     *
     * @param store where finished layers are kept, and taken from when an earlier run was cut off; null for nowhere
     * @param each told of every layer when it is done
     */
    public CalibratedModel run(LayerStore store, Consumer<LayerReport> each) throws IOException {
        CalibratedModel out = CalibratedModel.empty();
        if (quantizer == null) {
            for (int i = 0; i < model.config().layers(); i++) {
                LayerStore.Layer layer = LayerStore.Layer.empty();
                for (Stage stage : Stage.of(model.config(), i)) {
                    round(stage.layers(), 0, layer);
                }
                install(layer);
                out.add(layer, each);
            }
            return out;
        }
        int size = text.length() * model.config().hiddenSize();
        try (Session session = model.newSession(text.length()); HiddenStates hidden = new HiddenStates(text.windows().length, size)) {
            hidden.embed(session, text.windows());
            for (int i = 0; i < model.config().layers(); i++) {
                LayerStore.Layer layer = store == null ? null : store.read(i, arena);
                if (layer == null) {
                    layer = quantize(session, hidden, i);
                    if (store != null) {
                        store.write(i, layer);
                    }
                } else {
                    install(layer);
                }
                out.add(layer, each);
                hidden.advance(session, i, text.windows().length, text.length(), true);
            }
        }
        return out;
    }

    /** The model with its layers quantized as they are so far; closed with this calibrator. */
    public LlamaModel model() {
        return model;
    }

    /**
     * The model with every layer as fast as in the checkpoint that is written, where the norms have AWQ's divisors. Here they
     * have not, so from now on it computes something else: for timing, last.
     */
    public LlamaModel modelToTime() {
        model.linears().values().forEach(linear -> ((Tap) linear).leaveUndivided());
        return model;
    }

    private LayerStore.Layer quantize(Session session, HiddenStates hidden, int layer) {
        LayerStore.Layer out = LayerStore.Layer.empty();
        Map<String, Hessian> seen = new LinkedHashMap<>();
        for (Stage stage : Stage.of(model.config(), layer)) {
            String first = stage.layers().getFirst();
            int k = (int) tap(first).inFeatures();
            Hessian hessian = new Hessian(k);
            tap(first).listen(x -> hessian.add(x, options.threads()));
            try {
                hidden.advance(session, layer, text.windows().length, text.length(), false);
            } catch (IllegalArgumentException e) {
                throw new ModelException(checkpoint.path() + ": layer " + first + ": " + e.getMessage(), e);
            } finally {
                tap(first).listen(null);
            }
            stage.layers().forEach(name -> seen.put(name, hessian));
            List<String> chosen = stage.layers().stream().filter(name -> Rounding.chosen(options.recipe().of(name))).toList();
            if (!chosen.isEmpty()) {
                try {
                    quantizer.quantize(stage, chosen, seen, this::weights, out);
                } catch (IllegalArgumentException e) {
                    throw new ModelException(checkpoint.path() + ": layer " + String.join(", ", chosen) + ": " + e.getMessage(), e);
                }
            }
            round(stage.layers().stream().filter(name -> !chosen.contains(name)).toList(), hessian.rows(), out);
            install(out);
        }
        return out;
    }

    /** Layers that the algorithm does not take. */
    private void round(List<String> layers, long rows, LayerStore.Layer out) {
        for (String name : layers) {
            Scheme scheme = options.recipe().of(name);
            if (scheme != null) {
                try {
                    out.put(name, Rounding.quantize(weights(name + ".weight"), scheme, options, arena));
                } catch (IllegalArgumentException e) {
                    throw new ModelException(checkpoint.path() + ": layer " + name + ": " + e.getMessage(), e);
                }
                out.reports().add(new LayerReport(name, rows, ""));
            }
        }
    }

    /** Puts what a layer's result has not yet put into the running model. */
    private void install(LayerStore.Layer layer) {
        for (String name : layer.changed()) {
            tap(name).replace(backend.load(layer.matrices().get(name), bias(name)), layer.runningDivisors(name));
        }
        layer.changed().clear();
    }

    private Tap tap(String name) {
        return (Tap) model.linears().get(name);
    }

    private Tensor weights(String name) {
        return checkpoint.tensor(name);
    }

    private Tensor bias(String layer) {
        return checkpoint.has(layer + ".bias") ? checkpoint.tensor(layer + ".bias") : null;
    }

    @Override
    public void close() {
        model.close();
        checkpoint.close();
    }
}
