package io.lowbit.cli.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.cli.BackendOption;
import io.lowbit.cli.CliException;
import io.lowbit.cli.Json;
import io.lowbit.cli.Output;
import io.lowbit.cli.Progress;
import io.lowbit.cli.SchemeOptions;
import io.lowbit.cli.Table;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.calibrate.Advice;
import io.lowbit.llm.calibrate.CalibrationOptions;
import io.lowbit.llm.calibrate.CalibrationText;
import io.lowbit.llm.calibrate.Choice;
import io.lowbit.llm.calibrate.Recipe;
import io.lowbit.llm.calibrate.Sensitivity;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code lowbit advise}: which scheme for which layer, under one budget or several. */
@Command(
        name = "advise",
        description = "Measure what each scheme costs each layer of a Llama-family folder, and choose the scheme of every layer that costs least under a "
                + "budget. Writes a recipe (JSON, editable, for quantize --recipe) and, with --apply, the mixed checkpoint. Where there is text to measure on, "
                + "the mix is measured beside every scheme that takes no more bytes when all layers have it.")
public final class AdviseCommand implements Callable<Integer> {
    /** Windows that divergence is measured on. */
    private static final int PROBES = 8;

    @Spec
    private CommandSpec spec;

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
        @Option(names = "--bytes", paramLabel = "N", split = ",", description = "Bytes that all linear layers may take together; a list for several mixes.")
        private List<Long> bytes;

        @Option(names = "--bits", paramLabel = "B", split = ",",
                description = "Bits a weight of the linear layers, scales included; a list for several mixes from one measurement.")
        private List<Double> bits;

        /** Budgets in bytes, under what the user calls them. */
        private Map<String, Long> limits(long weights) {
            Map<String, Long> limits = new LinkedHashMap<>();
            if (bytes != null) {
                bytes.forEach(b -> limits.put(b + " bytes", b));
            } else {
                bits.forEach(b -> limits.put(b + " bits", (long) (b * weights / 8)));
            }
            return limits;
        }
    }

    @Option(names = "--speed-weight", paramLabel = "W", defaultValue = "0",
            description = "Nats of loss that the whole time of the slowest choices is worth: more favours schemes that are fast here. Default: 0.")
    private double speedWeight;

    @Option(names = "--recipe", paramLabel = "FILE", defaultValue = "lowbit-recipe.json",
            description = "Where the recipe goes; of several budgets each gets its figure into the name. Default: ${DEFAULT-VALUE}.")
    private Path recipe;

    @Option(names = "--apply", paramLabel = "OUT", description = "Write the mixed checkpoint, too: a new folder or a .safetensors file.")
    private Path apply;

    @Option(names = "--text", paramLabel = "FILE.jsonl", description = "What perplexity is measured on. Default: test.jsonl in the model's folder, if there is one.")
    private Path text;

    @Option(names = "--windows", paramLabel = "N", description = "Only the first N windows of it. Default: all.")
    private Integer windows;

    @Option(names = "--uniform", negatable = true, defaultValue = "true", fallbackValue = "true",
            description = "Measure the perplexity of every candidate that fits the largest budget when all layers have it. Default: yes; --no-uniform leaves it out.")
    private boolean uniform;

    /** @param perplexity NaN where there is no text to measure on */
    private record Mix(String budget, long limit, Advice advice, double perplexity) {}

    /** All layers in one scheme. */
    private record Uniform(Scheme scheme, long bytes, double perplexity) {}

    @Override
    public Integer call() throws Exception {
        if (apply != null && (budget.bits == null ? budget.bytes.size() : budget.bits.size()) > 1) {
            throw new ParameterException(spec.commandLine(), "--apply writes one checkpoint: give it one budget");
        }
        List<Scheme> candidates = candidates();
        CalibrationText calibration = algorithms.text(model);
        CalibrationOptions options = algorithms.options(algorithms.one(), Recipe.uniform(null), schemes.options(backend.threads()), backend.threads());
        try (Backend on = backend.open(out)) {
            Trial trial = new Trial(model, on, calibration, options, tokens(), windows == null ? Integer.MAX_VALUE : windows, out);
            List<List<Choice>> choices;
            try (Progress progress = out.progress("measure", LlamaModel.config(model).layers() * 7L)) {
                choices = Sensitivity.measure(model, on, calibration, PROBES, candidates, options, layer -> progress.step(1, layer));
            }
            long weights = trial.weights();
            double stored = trial.perplexity("as stored", Recipe.uniform(null), null);
            List<Mix> mixes = new ArrayList<>();
            for (Map.Entry<String, Long> limit : budget.limits(weights).entrySet()) {
                Advice advice = Advice.solve(choices, limit.getValue(), speedWeight);
                mixes.add(new Mix(limit.getKey(), limit.getValue(), advice, trial.perplexity("mix of " + limit.getKey(), advice.recipe(), apply)));
            }
            List<Uniform> uniforms = uniform && trial.measures() ? uniforms(trial, candidates, choices, mixes) : List.of();
            report(mixes, uniforms, weights, stored);
            write(mixes, uniforms, weights, stored, options, calibration);
        }
        return 0;
    }

    /** The text that perplexity is measured on; null for none. */
    private int[] tokens() throws IOException {
        Path file = text == null ? model.resolve("test.jsonl") : text;
        return text == null && !Files.isRegularFile(file) ? null : AlgorithmOptions.tokens(model, file);
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

    /** Every candidate that fits the largest budget when all layers have it. */
    private static List<Uniform> uniforms(Trial trial, List<Scheme> candidates, List<List<Choice>> choices, List<Mix> mixes) throws IOException {
        long most = mixes.stream().mapToLong(Mix::limit).max().orElseThrow();
        List<Uniform> all = new ArrayList<>();
        for (int c = 0; c < candidates.size(); c++) {
            int candidate = c;
            long bytes = choices.stream().mapToLong(layer -> layer.get(candidate).bytes()).sum();
            if (bytes <= most && !(candidates.get(c) instanceof Scheme.Dense)) {
                all.add(new Uniform(candidates.get(c), bytes, trial.perplexity(candidates.get(c).label(), Recipe.uniform(candidates.get(c)), null)));
            }
        }
        all.sort(Comparator.comparingLong(Uniform::bytes));
        return all;
    }

    private static Uniform best(List<Uniform> uniforms, Mix mix) {
        return uniforms.stream().filter(u -> u.bytes() <= mix.limit()).min(Comparator.comparingDouble(Uniform::perplexity)).orElse(null);
    }

    private void report(List<Mix> mixes, List<Uniform> uniforms, long weights, double stored) {
        out.table(mixes.size() == 1 ? layers(mixes.getFirst().advice()) : layers(mixes));
        for (Mix mix : mixes) {
            Map<String, Integer> counts = new TreeMap<>();
            mix.advice().choices().forEach(c -> counts.merge(c.scheme().label(), 1, Integer::sum));
            out.line("%s: %d bytes, %.4f bits a weight: %s", mix.budget(), mix.advice().bytes(), 8.0 * mix.advice().bytes() / weights, counts);
        }
        if (!uniforms.isEmpty()) {
            Table table = new Table("all layers in", ">bits/weight", ">bytes", ">perplexity");
            uniforms.forEach(u -> table.row(u.scheme().label(), number("%.3f", 8.0 * u.bytes() / weights), u.bytes(), number("%.4f", u.perplexity())));
            out.line("");
            out.table(table);
        }
        Table table = new Table("budget", ">bits/weight", ">loss predicted", ">measured", ">perplexity predicted", ">measured", "best uniform scheme within it",
                ">its perplexity");
        for (Mix mix : mixes) {
            Uniform best = best(uniforms, mix);
            boolean measured = !Double.isNaN(mix.perplexity());
            table.row(mix.budget(), number("%.3f", 8.0 * mix.advice().bytes() / weights), number("%.5f", mix.advice().loss()),
                    measured ? number("%.5f", Math.log(mix.perplexity() / stored)) : null, measured ? number("%.4f", stored * Math.exp(mix.advice().loss())) : null,
                    measured ? number("%.4f", mix.perplexity()) : null,
                    best == null ? "not measured" : best.scheme().label() + number(", %.3f bits", 8.0 * best.bytes() / weights),
                    best == null ? null : number("%.4f", best.perplexity()));
        }
        out.line("");
        out.table(table);
        if (!Double.isNaN(stored)) {
            out.line("Perplexity as stored: %.4f. Loss: rise of the mean negative log-likelihood in nats; predicted: the sum over layers, each measured alone.",
                    stored);
        }
    }

    /** Why one mix is what it is. */
    private static Table layers(Advice advice) {
        Table table = new Table("layer", "scheme", ">bytes", ">output error", ">predicted loss, nats");
        for (Choice c : advice.choices()) {
            table.row(c.layer(), c.scheme().label(), c.bytes(), number("%.4f", Math.sqrt(c.outputError())), number("%.6f", c.loss()));
        }
        return table;
    }

    /** Several mixes side by side. */
    private static Table layers(List<Mix> mixes) {
        List<String> columns = new ArrayList<>(List.of("layer"));
        mixes.forEach(m -> columns.add(m.budget()));
        Table table = new Table(columns.toArray(String[]::new));
        for (int i = 0; i < mixes.getFirst().advice().choices().size(); i++) {
            int layer = i;
            List<Object> row = new ArrayList<>(List.of(mixes.getFirst().advice().choices().get(i).layer()));
            mixes.forEach(m -> row.add(m.advice().choices().get(layer).scheme().label()));
            table.row(row.toArray());
        }
        return table;
    }

    private static String number(String format, double value) {
        return String.format(Locale.ROOT, format, value);
    }

    private void write(List<Mix> mixes, List<Uniform> uniforms, long weights, double stored, CalibrationOptions options, CalibrationText calibration)
            throws IOException {
        List<Object> recipes = new ArrayList<>();
        for (Mix mix : mixes) {
            Map<String, Object> document = new LinkedHashMap<>();
            document.put("model", model.toString());
            document.put("algorithm", options.algorithm().label());
            document.put("calibration_sha256", calibration.sha256());
            document.put("budget_bytes", mix.limit());
            document.put("bytes", mix.advice().bytes());
            document.put("bits_per_weight", 8.0 * mix.advice().bytes() / weights);
            document.put("predicted_loss", mix.advice().loss());
            document.put("measured_loss", Math.log(mix.perplexity() / stored));
            document.put("perplexity_as_stored", stored);
            document.put("perplexity", mix.perplexity());
            Map<String, Object> layers = new LinkedHashMap<>();
            mix.advice().choices().forEach(c -> layers.put(c.layer(), RecipeFile.label(c.scheme())));
            document.put("layers", layers);
            Path file = mixes.size() == 1 ? recipe : named(mix);
            Path part = file.resolveSibling("." + file.getFileName() + ".part");
            Files.writeString(part, Json.write(document) + "\n", StandardCharsets.UTF_8);
            Files.move(part, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
            out.line("recipe: %s%s", file.toAbsolutePath(), apply == null ? "" : "; checkpoint: " + apply.toAbsolutePath());
            recipes.add(document);
        }
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("perplexity_as_stored", stored);
        document.put("uniform", uniforms.stream().map(u -> Map.of("scheme", u.scheme().label(), "bytes", u.bytes(), "perplexity", u.perplexity())).toList());
        document.put("recipes", recipes);
        out.document(document);
    }

    /** {@code lowbit-recipe-4.25.json} beside {@code lowbit-recipe.json}. */
    private Path named(Mix mix) {
        String name = recipe.getFileName().toString();
        String figure = "-" + mix.budget().substring(0, mix.budget().indexOf(' '));
        int dot = name.lastIndexOf('.');
        return recipe.resolveSibling(dot < 0 ? name + figure : name.substring(0, dot) + figure + name.substring(dot));
    }
}
