package io.lowbit.cli.calibrate;

import io.lowbit.cli.CliException;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.ModelConfig;
import io.lowbit.llm.Perplexity;
import io.lowbit.llm.TextCorpus;
import io.lowbit.llm.TextTokenizer;
import io.lowbit.llm.calibrate.Algorithm;
import io.lowbit.llm.calibrate.CalibrationOptions;
import io.lowbit.llm.calibrate.CalibrationText;
import io.lowbit.llm.calibrate.Recipe;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.calibrate.AwqOptions;
import io.lowbit.quant.calibrate.GptqOptions;
import io.lowbit.quant.calibrate.HqqOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code --algorithm} and what refines it. Use as {@code @Mixin AlgorithmOptions algorithms}. */
public final class AlgorithmOptions {
    private static final int SAMPLES = 128;
    private static final int LENGTH = 512;

    @Spec(Spec.Target.MIXEE)
    private CommandSpec spec;

    @Option(
            names = "--algorithm",
            paramLabel = "rtn|mse|hqq|gptq|awq",
            split = ",",
            description = "How int4 codes and scales per channel or group are chosen: round to nearest (default), the clipping range of least "
                    + "weight error, half-quadratic, or, from calibration text, GPTQ or AWQ. Other schemes are always rounded.")
    private List<Algorithm> algorithms = new ArrayList<>();

    @Option(names = "--calibration", paramLabel = "FILE.jsonl",
            description = "gptq, awq: documents, one JSON object with a \"text\" a line. Default: calibration.jsonl in the model's folder.")
    private Path calibration;

    @Option(names = "--samples", paramLabel = "N", description = "Calibration windows. Default: " + SAMPLES + ".")
    private Integer samples;

    @Option(names = "--length", paramLabel = "N", description = "Tokens of a window. Default: " + LENGTH + ".")
    private Integer length;

    @Option(names = "--seed", paramLabel = "N", description = "Chooses the windows; 0 takes the first ones. Default: 0.")
    private Long seed;

    @Option(names = "--act-order", description = "gptq: columns by falling activation; the file gets a group index.")
    private boolean actOrder;

    @Option(names = "--static-groups", description = "gptq with --act-order: groups stay neighbours, so the file needs no group index.")
    private boolean staticGroups;

    @Option(names = "--damping", paramLabel = "D", description = "gptq: part of the mean diagonal added to the moments. Default: 0.01.")
    private Double damping;

    /** Every algorithm asked for; round to nearest where none was. */
    public List<Algorithm> all() {
        check();
        return algorithms.isEmpty() ? List.of(Algorithm.RTN) : algorithms;
    }

    /** The one algorithm asked for. */
    public Algorithm one() {
        if (algorithms.size() > 1) {
            throw wrong("--algorithm given " + algorithms.size() + " times: this command takes one");
        }
        return all().getFirst();
    }

    private void check() {
        boolean calibrated = algorithms.stream().anyMatch(Algorithm::calibrated);
        boolean gptq = algorithms.contains(Algorithm.GPTQ);
        if ((actOrder || staticGroups || damping != null) && !gptq) {
            throw wrong("--act-order, --static-groups and --damping are for --algorithm gptq");
        }
        if (staticGroups && !actOrder) {
            throw wrong("--static-groups goes with --act-order");
        }
        if (!alwaysCalibrates() && !calibrated && (calibration != null || samples != null || length != null || seed != null)) {
            throw wrong("--calibration, --samples, --length and --seed are for --algorithm gptq or awq");
        }
    }

    /** compare and advise measure on calibration text whatever the algorithm. */
    private boolean alwaysCalibrates() {
        return !spec.name().equals("quantize");
    }

    /** All options of one run. */
    public CalibrationOptions options(Algorithm algorithm, Recipe recipe, QuantizeOptions rounding, int threads) {
        GptqOptions defaults = GptqOptions.DEFAULT;
        try {
            GptqOptions gptq = new GptqOptions(actOrder, staticGroups, damping == null ? defaults.damping() : damping, rounding.clip(), threads);
            return new CalibrationOptions(algorithm, recipe, gptq, AwqOptions.DEFAULT, HqqOptions.DEFAULT,
                    algorithm == Algorithm.GPTQ ? rounding.withClip(null) : rounding, threads);
        } catch (IllegalArgumentException e) {
            throw wrong(e.getMessage());
        }
    }

    /** Reads, tokenizes and chooses the calibration text of a model. */
    public CalibrationText text(Path model) throws IOException {
        Path file = calibration == null ? model.resolve("calibration.jsonl") : calibration;
        if (calibration == null && !Files.isRegularFile(file)) {
            throw new CliException(model + ": no calibration.jsonl to calibrate on; give --calibration FILE.jsonl");
        }
        int[] stream = tokens(model, file);
        int count = samples == null ? Math.min(SAMPLES, stream.length / length()) : samples;
        return CalibrationText.sample(stream, count, length(), seed == null ? 0 : seed);
    }

    /** The tokens of a file of documents, each preceded by the token that opens a document. */
    static int[] tokens(Path model, Path file) throws IOException {
        ModelConfig config = LlamaModel.config(model);
        try (TextTokenizer tokenizer = TextTokenizer.load(model)) {
            return Perplexity.stream(config, tokenizer, TextCorpus.read(file));
        }
    }

    private int length() {
        return length == null ? LENGTH : length;
    }

    private ParameterException wrong(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
