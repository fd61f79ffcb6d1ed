package io.lowbit.cli.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.CheckpointQuantizer;
import io.lowbit.checkpoint.Globs;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.cli.Output;
import io.lowbit.cli.Progress;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Perplexity;
import io.lowbit.llm.calibrate.CalibratedModel;
import io.lowbit.llm.calibrate.CalibrationOptions;
import io.lowbit.llm.calibrate.CalibrationText;
import io.lowbit.llm.calibrate.Calibrator;
import io.lowbit.llm.calibrate.Recipe;
import io.lowbit.quant.QuantizeOptions;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;

/** Quantizes a model by one recipe after another, and measures each. */
final class Trial {
    private final Path folder;
    private final Backend backend;
    private final CalibrationText text;
    private final CalibrationOptions options;
    private final int[] tokens;
    private final int windows;
    private final Output out;

    /**
     * @param options all but the recipe
     * @param tokens what perplexity is measured on; null for nothing
     * @param windows the first so many windows of it, at most
     */
    Trial(Path folder, Backend backend, CalibrationText text, CalibrationOptions options, int[] tokens, int windows, Output out) {
        this.folder = folder;
        this.backend = backend;
        this.text = text;
        this.options = options;
        this.tokens = tokens;
        this.windows = tokens == null ? 0 : Math.min(windows, tokens.length / Perplexity.WINDOW);
        this.out = out;
    }

    /** True where perplexity is measured. */
    boolean measures() {
        return tokens != null;
    }

    /** Weights of all linear layers. */
    long weights() throws IOException {
        try (LlamaModel loaded = LlamaModel.load(folder, backend, null, QuantizeOptions.DEFAULT)) {
            return loaded.linears().values().stream().mapToLong(l -> l.outFeatures() * l.inFeatures()).sum();
        }
    }

    /**
     * Perplexity of the model quantized by {@code recipe}; NaN where nothing is measured.
     *
     * @param apply where the checkpoint goes; null for nowhere
     */
    double perplexity(String what, Recipe recipe, Path apply) throws IOException {
        if (tokens == null && apply == null) {
            return Double.NaN;
        }
        CalibrationOptions chosen = options.withRecipe(recipe);
        try (Arena arena = Arena.ofShared(); Calibrator calibrator = Calibrator.open(folder, backend, text, chosen, arena)) {
            CalibratedModel quantized;
            try (Progress progress = out.progress(what + ": quantize", calibrator.model().linears().size())) {
                quantized = calibrator.run(null, report -> progress.step(1, report.layer()));
            }
            if (apply != null) {
                try (Checkpoint checkpoint = Checkpoint.open(folder)) {
                    CheckpointQuantizer.quantize(checkpoint, apply, quantized.quantizer(chosen, text), options.threads(), Layouts.mixed(),
                            new Globs(List.of(), List.of()), _ -> {});
                }
            }
            return tokens == null ? Double.NaN : measure(what, calibrator.model());
        }
    }

    private double measure(String what, LlamaModel model) {
        try (Progress progress = out.progress(what + ": measure", windows)) {
            return Perplexity.measure(model, tokens, windows, _ -> progress.step()).perplexity();
        }
    }
}
