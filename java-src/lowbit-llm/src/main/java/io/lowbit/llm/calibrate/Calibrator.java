package io.lowbit.llm.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.ModelConfig;
import io.lowbit.llm.ModelException;
import io.lowbit.llm.Session;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.calibrate.Hessian;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Runs calibration text through a model and quantizes its linear layers, decoder layer by decoder layer: what a layer is
 * calibrated on has passed the quantized layers in front of it. Memory holds the float model on the backend, one layer's
 * moments and the quantized layers; the windows' hidden states lie in a mapped file.
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
        this.quantizer = options.algorithm() == Algorithm.GPTQ
                ? new GptqStage(options, arena)
                : new AwqStage(options, arena);
    }

    /**
     * Opens a model for calibration.
     *
     * @param folder a Hugging Face folder with float weights
     * @param arena where the quantized layers go
     */
    public static Calibrator open(Path folder, Backend backend, CalibrationText text, CalibrationOptions options, Arena arena) throws IOException {
        if (text.length() > Session.MAX_ROWS) {
            throw new IllegalArgumentException("calibration windows of " + text.length() + " tokens: expected at most " + Session.MAX_ROWS);
        }
        Checkpoint checkpoint = Checkpoint.open(folder);
        boolean done = false;
        try {
            LlamaModel model = LlamaModel.load(folder, new TappedBackend(backend), null, QuantizeOptions.DEFAULT.withThreads(options.threads()));
            done = true;
            return new Calibrator(checkpoint, model, backend, text, options, arena);
        } finally {
            if (!done) {
                checkpoint.close();
            }
        }
    }

    /**
     * Calibrates and quantizes every linear layer but the output layer.
     *
     * @param store where finished layers are kept, and taken from when an earlier run was cut off; null for nowhere
     * @param each told of every layer when it is done
     */
    public CalibratedModel run(LayerStore store, Consumer<LayerReport> each) throws IOException {
        ModelConfig config = model.config();
        Map<String, QuantizedMatrix> matrices = new LinkedHashMap<>();
        Map<String, Tensor> replaced = new LinkedHashMap<>();
        List<LayerReport> reports = new ArrayList<>();
        int size = text.length() * config.hiddenSize();
        try (Session session = model.newSession(text.length()); HiddenStates hidden = new HiddenStates(text.windows().length, size)) {
            float[] window = new float[size];
            for (int w = 0; w < text.windows().length; w++) {
                session.embed(text.windows()[w], window);
                hidden.write(w, window);
            }
            for (int i = 0; i < config.layers(); i++) {
                LayerStore.Layer known = store == null ? null : store.read(i, arena);
                LayerStore.Layer done = known == null ? quantize(session, hidden, i, window) : known;
                if (known == null && store != null) {
                    store.write(i, done);
                }
                if (known != null) {
                    known.matrices().forEach((name, m) -> tap(name).replace(backend.load(m, bias(name)), known.divisors().get(name)));
                }
                matrices.putAll(done.matrices());
                replaced.putAll(done.replaced());
                for (LayerReport report : done.reports()) {
                    reports.add(report);
                    each.accept(report);
                }
                advance(session, hidden, i, window);
            }
        }
        return new CalibratedModel(matrices, replaced, reports);
    }

    /** The model with its layers quantized as they are so far; closed with this calibrator. */
    public LlamaModel model() {
        return model;
    }

    private LayerStore.Layer quantize(Session session, HiddenStates hidden, int layer, float[] window) {
        LayerStore.Layer out = LayerStore.Layer.empty();
        Map<String, Hessian> seen = new LinkedHashMap<>();
        for (Stage stage : Stage.of(model.config(), layer)) {
            String first = stage.layers().getFirst();
            int k = (int) tap(first).inFeatures();
            Hessian hessian = new Hessian(k);
            tap(first).listen(x -> hessian.add(x, options.threads()));
            try {
                for (int w = 0; w < text.windows().length; w++) {
                    hidden.read(w, window);
                    session.throughLayer(layer, window, text.length());
                }
            } catch (IllegalArgumentException e) {
                throw new ModelException(checkpoint.path() + ": layer " + first + ": " + e.getMessage(), e);
            } finally {
                tap(first).listen(null);
            }
            stage.layers().forEach(name -> seen.put(name, hessian));
            try {
                quantizer.quantize(stage, seen, this::weights, out);
            } catch (IllegalArgumentException e) {
                throw new ModelException(checkpoint.path() + ": layer " + String.join(", ", stage.layers()) + ": " + e.getMessage(), e);
            }
            for (String name : out.changed()) {
                tap(name).replace(backend.load(out.matrices().get(name), bias(name)), out.divisors().get(name));
            }
            out.changed().clear();
        }
        return out;
    }

    private void advance(Session session, HiddenStates hidden, int layer, float[] window) {
        for (int w = 0; w < text.windows().length; w++) {
            hidden.read(w, window);
            session.throughLayer(layer, window, text.length());
            hidden.write(w, window);
        }
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
