package io.lowbit.cli;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.CheckpointQuantizer;
import io.lowbit.checkpoint.CheckpointQuantizer.LayerResult;
import io.lowbit.checkpoint.Globs;
import io.lowbit.checkpoint.Layout;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.LayerQuantizer;
import io.lowbit.backend.Backend;
import io.lowbit.cli.calibrate.AlgorithmOptions;
import io.lowbit.cli.calibrate.RecipeFile;
import io.lowbit.llm.calibrate.Algorithm;
import io.lowbit.llm.calibrate.CalibratedModel;
import io.lowbit.llm.calibrate.CalibrationOptions;
import io.lowbit.llm.calibrate.CalibrationText;
import io.lowbit.llm.calibrate.Calibrator;
import io.lowbit.llm.calibrate.FileLayerStore;
import io.lowbit.llm.calibrate.Recipe;
import io.lowbit.llm.calibrate.Rounding;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code lowbit quantize}: a float checkpoint to a quantized one. */
@Command(name = "quantize", description = "Quantize a float checkpoint: a safetensors file, a folder with shards, or an ONNX file.")
final class QuantizeCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Parameters(index = "0", paramLabel = "IN", description = "The model: a .safetensors or .onnx file, or a folder.")
    private Path in;

    @Parameters(index = "1", paramLabel = "OUT", description = "A .safetensors file, or a new folder.")
    private Path out;

    @Mixin
    private SchemeOptions scheme;

    @Option(names = "--layout", paramLabel = "L",
            description = "How the file names and packs its parts. One of bitsandbytes, compressed-tensors, fp8, gptq, awq, awq_gemv, gguf (OUT.gguf), modelopt, "
                    + "gpt-oss. Default: nf4, fp4: bitsandbytes; int4, mxfp4, nvfp4: compressed-tensors; fp8-*, mxfp8-*: fp8.")
    private String layout;

    @Option(names = "--include", paramLabel = "GLOB", description = "Quantize only layers of these names. Default: all 2-D weights of linear layers.")
    private List<String> include = List.of();

    @Option(names = "--exclude", paramLabel = "GLOB",
            description = "Leave layers of these names. Without --include, embeddings, lm_head and norms are left too.")
    private List<String> exclude = List.of();

    @Option(names = "--config", paramLabel = "FILE", description = "The model's configuration. Default: config.json beside it.")
    private Path config;

    @Option(names = "--recipe", paramLabel = "FILE", description = "Instead of --scheme: a scheme for each layer, as lowbit advise writes it.")
    private Path recipe;

    @Mixin
    private AlgorithmOptions algorithms;

    @Mixin
    private BackendOption backend;

    @Mixin
    private Output output;

    private FileLayerStore store;

    @Override
    public Integer call() throws Exception {
        Recipe chosenRecipe = recipe();
        Layout chosen = layout(chosenRecipe);
        Algorithm algorithm = algorithms.one();
        CalibrationOptions options = algorithms.options(algorithm, chosenRecipe, scheme.options(backend.threads()), backend.threads());
        String label = chosenRecipe.others() == null ? "the schemes of " + recipe : chosenRecipe.others().label();
        Globs globs = new Globs(include, exclude);
        List<LayerResult> results;
        long kept;
        try (Checkpoint checkpoint = Checkpoint.open(in, config); Arena arena = Arena.ofShared()) {
            output.note((chosenRecipe.others() == null ? label : scheme.describe(chosenRecipe.others())) + "; algorithm " + algorithm.label() + "; layout "
                    + chosen.name());
            checkpoint.notes().forEach(output::note);
            LayerQuantizer quantizer = algorithm.calibrated() ? calibrated(options, arena) : new Rounding(options);
            int layers = (int) CheckpointQuantizer.select(checkpoint, globs).stream().filter(w -> quantizer.scheme(w) != null).count();
            kept = checkpoint.names().size() - layers;
            try (Progress progress = output.progress("write", layers)) {
                results = CheckpointQuantizer.quantize(checkpoint, out, quantizer, backend.threads(), chosen, globs, r -> progress.step(1, r.layer()));
            }
        }
        if (store != null) {
            store.delete();
        }
        LayerTable table = new LayerTable(results);
        output.table(table.table());
        output.line("%s: %s, layout %s; %d other tensors copied as they are", out, label, chosen.name(), kept);
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("out", out.toString());
        document.put("scheme", label);
        document.put("algorithm", algorithm.label());
        document.put("layout", chosen.name());
        document.put("copied_tensors", kept);
        document.putAll(table.document());
        output.document(document);
        return 0;
    }

    private Recipe recipe() throws IOException {
        if (recipe != null) {
            if (scheme.given()) {
                throw new ParameterException(spec.commandLine(), "--recipe names each layer's scheme: leave --scheme out");
            }
            return RecipeFile.read(recipe);
        }
        Scheme wanted = scheme.one().orElseThrow(() -> new ParameterException(spec.commandLine(), "--scheme is needed: it has no default"));
        if (wanted instanceof Scheme.Dense) {
            throw new ParameterException(spec.commandLine(), "--scheme " + wanted.label() + " is not quantized: take one of 4 or 8 bits");
        }
        if (algorithms.one() != Algorithm.RTN && !(wanted instanceof Scheme.Int4)) {
            throw new ParameterException(spec.commandLine(), "--algorithm " + algorithms.one().label() + " is for int4; " + wanted.label()
                    + " is rounded to nearest");
        }
        return Recipe.uniform(wanted);
    }

    private Layout layout(Recipe recipe) {
        if (recipe.others() == null) {
            if (layout != null) {
                throw new ParameterException(spec.commandLine(), "--recipe is written in the compressed-tensors layout of each scheme: leave --layout out");
            }
            return Layouts.mixed();
        }
        return layout == null ? Layouts.defaultFor(recipe.others()) : Layouts.named(layout, recipe.others());
    }

    /** Runs the model over text; what is finished is kept beside OUT until the checkpoint is written. */
    private LayerQuantizer calibrated(CalibrationOptions options, Arena arena) throws IOException {
        CalibrationText text = algorithms.text(in);
        store = new FileLayerStore(out.resolveSibling(out.getFileName() + ".calibration"), options, text);
        try (Backend on = backend.open(output);
                Calibrator calibrator = Calibrator.open(in, on, text, options, arena);
                Progress progress = output.progress("calibrate", calibrator.model().linears().size())) {
            output.note(text.windows().length + " windows of " + text.length() + " tokens, seed " + text.seed());
            CalibratedModel model = calibrator.run(store, report -> {
                progress.step(1, report.layer());
                if (!report.note().isEmpty() && options.algorithm() == Algorithm.GPTQ) {
                    progress.clear();
                    output.note(report.layer() + ": " + report.note());
                }
            });
            return model.quantizer(options, text);
        }
    }
}
