package io.lowbit.cli.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.CheckpointQuantizer;
import io.lowbit.checkpoint.Globs;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.cli.BackendOption;
import io.lowbit.cli.CliException;
import io.lowbit.cli.Json;
import io.lowbit.cli.Output;
import io.lowbit.cli.Progress;
import io.lowbit.cli.SchemeOptions;
import io.lowbit.cli.Table;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Perplexity;
import io.lowbit.llm.calibrate.Advice;
import io.lowbit.llm.calibrate.CalibratedModel;
import io.lowbit.llm.calibrate.CalibrationOptions;
import io.lowbit.llm.calibrate.CalibrationText;
import io.lowbit.llm.calibrate.Calibrator;
import io.lowbit.llm.calibrate.Choice;
import io.lowbit.llm.calibrate.Recipe;
import io.lowbit.llm.calibrate.Sensitivity;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code lowbit advise}: which scheme for which layer, under a budget. */
@Command(
        name = "advise",
        description = "Measure what each scheme costs each layer of a Llama-family folder, and choose the scheme of every layer that costs least under a "
                + "budget. Writes a recipe (JSON, editable, for quantize --recipe) and, with --apply, the mixed checkpoint.")
public final class AdviseCommand implements Callable<Integer> {
    /** Windows that divergence is measured on. */
    private static final int PROBES = 8;

    @Mixin
    private Output out;

    @Mixin
    private BackendOption backend;

    @Mixin
    private SchemeOptions schemes;

    @Mixin
    private AlgorithmOptions algorithms;

    @Parameters(paramLabel = "MODEL", description = "Folder with config.json, tokenizer.json and float safetensors files.")
    private Path model;

    @ArgGroup(multiplicity = "1")
    private Budget budget;

    private static final class Budget {
        @Option(names = "--bytes", paramLabel = "N", description = "Bytes that all linear layers may take together.")
        private Long bytes;

        @Option(names = "--bits", paramLabel = "B", description = "Bits a weight of the linear layers, scales included.")
        private Double bits;
    }

    @Option(names = "--speed-weight", paramLabel = "W", defaultValue = "0",
            description = "Nats of loss that the whole time of the slowest choices is worth: more favours schemes that are fast here. Default: 0.")
    private double speedWeight;

    @Option(names = "--recipe", paramLabel = "FILE", defaultValue = "lowbit-recipe.json", description = "Where the recipe goes. Default: ${DEFAULT-VALUE}.")
    private Path recipe;

    @Option(names = "--apply", paramLabel = "OUT", description = "Write the mixed checkpoint, too: a new folder or a .safetensors file.")
    private Path apply;

    @Option(names = "--text", paramLabel = "FILE.jsonl", description = "What perplexity is measured on. Default: test.jsonl in the model's folder, if there is one.")
    private Path text;

    @Override
    public Integer call() throws Exception {
        List<Scheme> candidates = candidates();
        CalibrationText calibration = algorithms.text(model);
        CalibrationOptions options = algorithms.options(algorithms.one(), Recipe.uniform(null), schemes.options(backend.threads()), backend.threads());
        try (Backend on = backend.open(out)) {
            List<List<Choice>> choices;
            try (Progress progress = out.progress("measure", LlamaModel.config(model).layers() * 7L)) {
                choices = Sensitivity.measure(model, on, calibration, PROBES, candidates, options, layer -> progress.step(1, layer));
            }
            long weights = weights(on);
            long limit = budget.bytes != null ? budget.bytes : (long) (budget.bits * weights / 8);
            Advice advice = Advice.solve(choices, limit, speedWeight);
            Measured measured = measure(on, calibration, options, advice);
            report(advice, weights, measured);
            write(advice, weights, options, calibration, measured);
        }
        return 0;
    }

    /** Schemes that one compressed-tensors file can mix. */
    private List<Scheme> candidates() {
        if (schemes.given()) {
            List<Scheme> asked = schemes.all().stream().map(s -> s.orElse(new Scheme.Dense(DType.BF16))).toList();
            asked.stream().filter(s -> s instanceof Scheme.Bnb4).findFirst().ifPresent(s -> {
                throw new CliException("--scheme " + s.label() + ": bitsandbytes has no place in a mixed checkpoint; leave it out");
            });
            return asked;
        }
        List<Scheme> all = new ArrayList<>();
        for (boolean symmetric : new boolean[] {true, false}) {
            for (Grouping grouping : List.of(Grouping.CHANNEL, Grouping.group(128), Grouping.group(64), Grouping.group(32))) {
                all.add(new Scheme.Int4(grouping, symmetric));
            }
        }
        all.add(new Scheme.Mxfp4());
        all.add(new Scheme.Nvfp4());
        all.add(new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL));
        all.add(new Scheme.Dense(DType.BF16));
        return all;
    }

    private long weights(Backend on) throws IOException {
        try (LlamaModel loaded = LlamaModel.load(model, on, null, QuantizeOptions.DEFAULT)) {
            return loaded.linears().values().stream().mapToLong(l -> l.outFeatures() * l.inFeatures()).sum();
        }
    }

    /** @param stored perplexity of the model as it is; NaN where there is no text to measure on */
    private record Measured(double stored, double mixed) {}

    /** Quantizes by the advice, measures, and writes the checkpoint where one was asked for. */
    private Measured measure(Backend on, CalibrationText calibration, CalibrationOptions options, Advice advice) throws IOException {
        Path file = text == null ? model.resolve("test.jsonl") : text;
        if (text == null && !Files.isRegularFile(file) && apply == null) {
            return new Measured(Double.NaN, Double.NaN);
        }
        double stored = Double.NaN;
        double mixed = Double.NaN;
        CalibrationOptions chosen = new CalibrationOptions(options.algorithm(), advice.recipe(), options.gptq(), options.awq(), options.hqq(),
                options.rounding(), options.threads());
        try (Arena arena = Arena.ofShared(); Calibrator calibrator = Calibrator.open(model, on, calibration, chosen, arena)) {
            int[] tokens = Files.isRegularFile(file) ? AlgorithmOptions.tokens(model, file) : null;
            if (tokens != null) {
                stored = perplexity("as stored", calibrator.model(), tokens);
            }
            CalibratedModel quantized;
            try (Progress progress = out.progress("quantize", advice.choices().size())) {
                quantized = calibrator.run(null, report -> progress.step(1, report.layer()));
            }
            if (tokens != null) {
                mixed = perplexity("mixed", calibrator.model(), tokens);
            }
            if (apply != null) {
                try (Checkpoint checkpoint = Checkpoint.open(model)) {
                    CheckpointQuantizer.quantize(checkpoint, apply, quantized.quantizer(chosen, calibration), backend.threads(), Layouts.mixed(),
                            new Globs(List.of(), List.of()), _ -> {});
                }
            }
        }
        return new Measured(stored, mixed);
    }

    private double perplexity(String what, LlamaModel loaded, int[] tokens) {
        try (Progress progress = out.progress(what, tokens.length / Perplexity.WINDOW)) {
            return Perplexity.measure(loaded, tokens, Integer.MAX_VALUE, _ -> progress.step()).perplexity();
        }
    }

    private void report(Advice advice, long weights, Measured measured) {
        Table table = new Table("layer", "scheme", ">bytes", ">output error", ">predicted loss, nats");
        for (Choice c : advice.choices()) {
            table.row(c.layer(), c.scheme().label(), c.bytes(), number("%.4f", Math.sqrt(c.outputError())), number("%.6f", c.loss()));
        }
        out.table(table);
        Map<String, Integer> counts = new TreeMap<>();
        advice.choices().forEach(c -> counts.merge(c.scheme().label(), 1, Integer::sum));
        out.line("%d bytes, %.4f bits a weight: %s", advice.bytes(), 8.0 * advice.bytes() / weights, counts);
        out.line("predicted: the mean negative log-likelihood rises by %.5f nats, the sum over layers, each alone", advice.loss());
        if (!Double.isNaN(measured.mixed)) {
            out.line("measured: it rises by %.5f nats; perplexity %.4f as stored, %.4f mixed (predicted %.4f)",
                    Math.log(measured.mixed / measured.stored), measured.stored, measured.mixed, measured.stored * Math.exp(advice.loss()));
        }
    }

    private static String number(String format, double value) {
        return String.format(Locale.ROOT, format, value);
    }

    private void write(Advice advice, long weights, CalibrationOptions options, CalibrationText calibration, Measured measured) throws IOException {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("model", model.toString());
        document.put("algorithm", options.algorithm().label());
        document.put("calibration_sha256", calibration.sha256());
        document.put("bytes", advice.bytes());
        document.put("bits_per_weight", 8.0 * advice.bytes() / weights);
        document.put("predicted_loss", advice.loss());
        document.put("measured_loss", Math.log(measured.mixed / measured.stored));
        document.put("perplexity_as_stored", measured.stored);
        document.put("perplexity", measured.mixed);
        Map<String, Object> layers = new LinkedHashMap<>();
        advice.choices().forEach(c -> layers.put(c.layer(), RecipeFile.label(c.scheme())));
        document.put("layers", layers);
        Path part = recipe.resolveSibling("." + recipe.getFileName() + ".part");
        Files.writeString(part, Json.write(document) + "\n", StandardCharsets.UTF_8);
        Files.move(part, recipe, java.nio.file.StandardCopyOption.REPLACE_EXISTING, java.nio.file.StandardCopyOption.ATOMIC_MOVE);
        out.line("recipe: %s%s", recipe.toAbsolutePath(), apply == null ? "" : "; checkpoint: " + apply.toAbsolutePath());
        out.document(document);
    }
}
