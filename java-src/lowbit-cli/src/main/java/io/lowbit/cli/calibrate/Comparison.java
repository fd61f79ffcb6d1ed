package io.lowbit.cli.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.llm.Generator;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Perplexity;
import io.lowbit.llm.Sampler;
import io.lowbit.llm.Session;
import io.lowbit.llm.calibrate.Algorithm;
import io.lowbit.llm.calibrate.CalibratedModel;
import io.lowbit.llm.calibrate.CalibrationOptions;
import io.lowbit.llm.calibrate.CalibrationText;
import io.lowbit.llm.calibrate.Calibrator;
import io.lowbit.llm.calibrate.LayerErrors;
import io.lowbit.llm.calibrate.Recipe;
import io.lowbit.llm.calibrate.Rounding;
import io.lowbit.cli.report.SchemeResult;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;
import java.util.function.ToDoubleFunction;

/** Measures one model in any scheme by any algorithm. */
final class Comparison implements AutoCloseable {
    static final int ERROR_WINDOWS = 4;
    static final int PROMPT = 256;
    static final int DECODE = 32;
    static final int REPETITIONS = 3;

    private final Path folder;
    private final Backend backend;
    private final CalibrationText text;
    private final int[] tokens;
    private final int windows;
    private final int threads;
    private final LayerErrors errors;
    private final long weights;
    private final long storedBytes;
    private final long others;
    private final String protocol;

    Comparison(Path folder, Backend backend, CalibrationText text, int[] tokens, int mostWindows, int threads) throws IOException {
        this.folder = folder;
        this.backend = backend;
        this.text = text;
        this.tokens = tokens;
        this.windows = Math.min(mostWindows, tokens.length / Perplexity.WINDOW);
        this.threads = threads;
        this.errors = new LayerErrors(folder, backend, text, ERROR_WINDOWS, threads);
        try (LlamaModel model = LlamaModel.load(folder, backend, null, QuantizeOptions.DEFAULT)) {
            weights = model.linears().values().stream().mapToLong(l -> l.outFeatures() * l.inFeatures()).sum();
            storedBytes = model.linearBytes();
            others = model.bytes() - model.linearBytes();
            protocol = Perplexity.protocol(model);
        }
    }

    List<String> layers() {
        return errors.layers();
    }

    /** How perplexity is measured, in words. */
    String protocol() {
        return protocol;
    }

    int windows() {
        return windows;
    }

    /** @param scheme null for the model as it is stored */
    SchemeResult measure(Scheme scheme, Algorithm algorithm, AlgorithmOptions algorithms, QuantizeOptions rounding, LongConsumer progress)
            throws IOException {
        CalibrationOptions options = algorithms.options(algorithm, new Recipe(Map.of(), scheme), rounding, threads);
        try (Arena arena = Arena.ofShared(); Calibrator calibrator = Calibrator.open(folder, backend, text, options, arena)) {
            CalibratedModel quantized = calibrator.run(null, _ -> {});
            LlamaModel model = calibrator.model();
            double perplexity = Perplexity.measure(model, tokens, windows, progress).perplexity();
            Map<String, Double> squared = scheme == null ? Map.of() : errors.of(quantized);
            List<Double> decibels = scheme == null ? List.of() : layers().stream().map(l -> -10 * Math.log10(squared.get(l))).toList();
            calibrator.modelToTime();
            speed(model);
            Generator.Result[] runs = new Generator.Result[REPETITIONS];
            for (int i = 0; i < REPETITIONS; i++) {
                runs[i] = speed(model);
            }
            long bytes = scheme == null ? storedBytes : quantized.bytes();
            String label = scheme == null ? "as stored" : Rounding.chosen(scheme) ? scheme.label() + " " + algorithm.label() : scheme.label();
            return new SchemeResult(label, scheme == null ? model.linears().firstEntry().getValue().scheme() : scheme, perplexity, 8.0 * bytes / weights, bytes,
                    bytes + others, median(runs, Generator.Result::promptTokensPerSecond), median(runs, Generator.Result::decodeTokensPerSecond), decibels);
        }
    }

    private Generator.Result speed(LlamaModel model) {
        try (Session session = model.newSession(PROMPT + DECODE)) {
            return Generator.generate(model, session, Arrays.copyOf(tokens, PROMPT), Sampler.greedy(), DECODE, false, _ -> {});
        }
    }

    private static double median(Generator.Result[] runs, ToDoubleFunction<Generator.Result> value) {
        double[] values = Arrays.stream(runs).mapToDouble(value).sorted().toArray();
        return values[values.length / 2];
    }

    @Override
    public void close() {
        errors.close();
    }
}
