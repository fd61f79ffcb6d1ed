package io.lowbit.cli.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.cli.BackendOption;
import io.lowbit.cli.CliException;
import io.lowbit.cli.Machine;
import io.lowbit.cli.Output;
import io.lowbit.cli.Progress;
import io.lowbit.cli.SchemeOptions;
import io.lowbit.cli.Table;
import io.lowbit.cli.report.HtmlReport;
import io.lowbit.cli.report.Report;
import io.lowbit.cli.report.SchemeResult;
import io.lowbit.llm.calibrate.Algorithm;
import io.lowbit.llm.calibrate.CalibrationText;
import io.lowbit.llm.calibrate.Rounding;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code lowbit compare}: every scheme and algorithm asked for, measured on one model. */
@Command(
        name = "compare",
        description = "Quantize a Llama-family folder in every scheme and by every algorithm asked for, and measure perplexity, output error of each "
                + "layer, bytes and speed. --scheme and --algorithm take lists; algorithms but rtn apply to int4.")
public final class CompareCommand implements Callable<Integer> {
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

    @Option(names = "--text", paramLabel = "FILE.jsonl", description = "What perplexity is measured on. Default: test.jsonl in the model's folder.")
    private Path text;

    @Option(names = "--windows", paramLabel = "N", description = "Only the first N windows of it. Default: all.")
    private Integer windows;

    @Option(names = "--report", paramLabel = "FILE", description = "Write an HTML page with plots. Default: none.")
    private Path report;

    @Override
    public Integer call() throws Exception {
        Path file = text == null ? model.resolve("test.jsonl") : text;
        if (!Files.isRegularFile(file)) {
            throw new CliException(file + ": no text to measure on; give --text FILE.jsonl");
        }
        List<Scheme> asked = schemes.given() ? schemes.all().stream().flatMap(Optional::stream).toList() : List.of(
                new Scheme.Int4(Grouping.group(128), true), new Scheme.Int4(Grouping.group(128), false));
        CalibrationText calibration = algorithms.text(model);
        int[] tokens = AlgorithmOptions.tokens(model, file);
        List<SchemeResult> results = new ArrayList<>();
        List<String> layers;
        List<String> machine;
        List<String> protocol;
        try (Backend on = backend.open(out);
                Comparison comparison = new Comparison(model, on, calibration, tokens, windows == null ? Integer.MAX_VALUE : windows, backend.threads())) {
            layers = comparison.layers();
            Machine here = Machine.read();
            machine = List.of("Machine: " + here.cpu() + ", " + backend.threads() + " threads; " + here.jdk() + "; " + here.os(),
                    "Backend: " + on.name() + ", " + on.description());
            protocol = List.of(
                    "Calibration: " + calibration.windows().length + " windows of " + calibration.length() + " tokens, seed " + calibration.seed()
                            + ", sha256 " + calibration.sha256().substring(0, 16) + "…",
                    "Perplexity: " + comparison.windows() + " windows of " + file.getFileName() + "; " + comparison.protocol() + ".",
                    "Output error: each layer alone, on the unchanged model's inputs of the first " + Comparison.ERROR_WINDOWS + " calibration windows.",
                    "Speed: a prompt of " + Comparison.PROMPT + " tokens in one pass, then " + Comparison.DECODE + " tokens one by one; median of "
                            + Comparison.REPETITIONS + " runs after one untimed.");
            machine.forEach(out::line);
            protocol.forEach(out::line);
            results.add(measure(comparison, null, Algorithm.RTN));
            for (Scheme scheme : asked) {
                for (Algorithm algorithm : algorithms.all()) {
                    if (algorithm == Algorithm.RTN || Rounding.chosen(scheme)) {
                        results.add(measure(comparison, scheme, algorithm));
                    }
                }
            }
        }
        out.table(table(results));
        if (report != null) {
            HtmlReport.write(report, new Report(model.getFileName().toString(), machine, protocol, results, layers, null, null, null,
                    "One language model, scheme by scheme and algorithm by algorithm", "Signal-to-noise ratio of each layer's output"));
            out.line("Report: " + report.toAbsolutePath());
        }
        out.document(document(file, machine, protocol, results, layers));
        return 0;
    }

    private SchemeResult measure(Comparison comparison, Scheme scheme, Algorithm algorithm) throws IOException {
        String name = scheme == null ? "as stored" : scheme.label() + " " + algorithm.label();
        try (Progress progress = out.progress(name, comparison.windows())) {
            SchemeResult result = comparison.measure(scheme, algorithm, algorithms, schemes.options(backend.threads()), _ -> progress.step());
            progress.clear();
            out.note(String.format(Locale.ROOT, "%s: perplexity %.4f", result.label(), result.perplexity()));
            return result;
        }
    }

    private static Table table(List<SchemeResult> results) {
        Table table = new Table("scheme, algorithm", ">bits/weight", ">linear MiB", ">perplexity", ">against stored", ">output SNR dB", ">prompt tok/s",
                ">decode tok/s");
        for (SchemeResult r : results) {
            table.row(r.label(), number("%.3f", r.bitsPerWeight()), number("%.2f", r.linearBytes() / 1048576.0), number("%.4f", r.perplexity()),
                    r == results.getFirst() ? "" : number("%+.2f %%", 100 * (r.perplexity() / results.getFirst().perplexity() - 1)),
                    r.sqnr().isEmpty() ? "" : number("%.2f", r.meanSqnr()), number("%.0f", r.promptTokensPerSecond()),
                    number("%.0f", r.decodeTokensPerSecond()));
        }
        return table;
    }

    private static String number(String format, double value) {
        return String.format(Locale.ROOT, format, value);
    }

    private Map<String, Object> document(Path file, List<String> machine, List<String> protocol, List<SchemeResult> results, List<String> layers) {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("model", model.toString());
        document.put("text", file.toString());
        document.put("machine", machine);
        document.put("protocol", protocol);
        document.put("layers", layers);
        List<Object> rows = new ArrayList<>();
        for (SchemeResult r : results) {
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("name", r.label());
            row.put("scheme", r.scheme().label());
            row.put("bits_per_weight", r.bitsPerWeight());
            row.put("linear_bytes", r.linearBytes());
            row.put("bytes", r.totalBytes());
            row.put("perplexity", r.perplexity());
            row.put("prompt_tokens_per_second", r.promptTokensPerSecond());
            row.put("decode_tokens_per_second", r.decodeTokensPerSecond());
            row.put("output_snr_db", r.sqnr());
            rows.add(row);
        }
        document.put("results", rows);
        return document;
    }
}
