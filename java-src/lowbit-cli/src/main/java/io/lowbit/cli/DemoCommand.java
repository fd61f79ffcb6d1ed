package io.lowbit.cli;

import io.lowbit.backend.Backend;
import io.lowbit.cli.demo.Demo;
import io.lowbit.cli.demo.DemoModel;
import io.lowbit.cli.report.HtmlReport;
import io.lowbit.cli.report.Report;
import io.lowbit.cli.report.SchemeResult;
import io.lowbit.llm.Sampler;
import io.lowbit.quant.Scheme;
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
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code lowbit demo}: the whole story, offline. */
@Command(
        name = "demo",
        description = "Quantize the small language model that ships with Lowbit in every scheme, run it on the best backend, and show "
                + "perplexity, bytes and speed of each; write an HTML report.")
final class DemoCommand implements Callable<Integer> {
    private static final String PROMPT = "The captain stood upon the deck and looked over the sea";
    private static final String SAMPLING = "temperature 0.8, top-k 40, top-p 0.95, seed 7";
    private static final String HEAD = "%-17s %6s %10s %9s %11s %9s %9s %9s";
    private static final String ROW = "%-17s %6.3f %10.2f %9.2f %11.3f %9s %9.0f %9.0f";

    @Spec
    private CommandSpec spec;

    @Mixin
    private Output out;

    @Mixin
    private BackendOption backendOption;

    @Mixin
    private SchemeOptions schemes;

    @Option(
            names = "--windows",
            paramLabel = "N",
            defaultValue = "42",
            description = "Windows of 512 tokens that perplexity is measured on, spread over the 167 of the test text. Default: ${DEFAULT-VALUE}.")
    private int windows;

    @Option(
            names = "--max-tokens",
            paramLabel = "N",
            defaultValue = "64",
            description = "Tokens generated to measure decoding, and of the sample text. Default: ${DEFAULT-VALUE}.")
    private int maxTokens;

    @Option(
            names = "--report",
            paramLabel = "FILE",
            defaultValue = "lowbit-report.html",
            description = "The HTML page. Default: ${DEFAULT-VALUE} in this folder.")
    private Path report;

    @Override
    public Integer call() throws Exception {
        if (windows < 1) {
            throw new ParameterException(spec.commandLine(), "--windows " + windows + ": expected at least 1");
        }
        if (maxTokens < 2 || maxTokens > 512) {
            throw new ParameterException(spec.commandLine(), "--max-tokens " + maxTokens + ": expected 2 to 512");
        }
        List<Scheme> chosen = schemes.given() ? schemes.all().stream().flatMap(Optional::stream).toList() : Demo.schemes();
        checkReport();
        long start = System.nanoTime();
        List<SchemeResult> results = new ArrayList<>();
        Report page;
        try (DemoModel files = DemoModel.unpack();
                Backend backend = backendOption.open(out);
                Demo demo = new Demo(files, backend, schemes.options(backendOption.threads()), windows, maxTokens)) {
            List<String> machine = machine(backend);
            List<String> protocol = protocol(demo);
            out.line("lowbit-tiny-llama: 7.3 million parameters, Llama architecture, trained for Lowbit; stored in BF16");
            machine.forEach(out::line);
            protocol.forEach(out::line);
            out.line("");
            out.line(HEAD, "", "bits/", "linear", "whole", "", "against", "prompt", "decode");
            out.line(HEAD, "scheme", "weight", "layers MiB", "model MiB", "perplexity", "stored", "tokens/s", "tokens/s");
            results.add(measure(demo, null, results));
            for (Scheme scheme : chosen) {
                results.add(measure(demo, scheme, results));
            }
            Scheme writer = chosen.isEmpty() ? null : best4Bit(results);
            String label = writer == null ? results.getFirst().label() : writer.label();
            out.line("");
            out.line("Text by " + label + " (" + SAMPLING + "):");
            out.text(PROMPT);
            String text = demo.write(writer, PROMPT, Sampler.of(0.8, 40, 0.95, 7), maxTokens, out::text);
            out.line("");
            page = new Report("lowbit-tiny-llama: 7.3 million parameters, Llama architecture, trained for Lowbit, stored in BF16.",
                    machine, protocol, results, demo.layers(), PROMPT, text, label + ", " + SAMPLING);
        }
        HtmlReport.write(report, page);
        double seconds = (System.nanoTime() - start) * 1e-9;
        out.line("");
        out.line(String.format(Locale.ROOT, "Report: %s   (%.0f s in all)", report.toAbsolutePath(), seconds));
        out.document(document(page, seconds));
        return 0;
    }

    /** Before minutes of work: can the page be written at all? */
    private void checkReport() {
        Path folder = report.toAbsolutePath().getParent();
        if (folder == null || !java.nio.file.Files.isDirectory(folder) || !java.nio.file.Files.isWritable(folder)) {
            throw new CliException(report + ": its folder cannot be written to; choose another place with --report FILE");
        }
    }

    private SchemeResult measure(Demo demo, Scheme scheme, List<SchemeResult> before) throws java.io.IOException {
        String name = scheme == null ? "as stored" : scheme.label();
        try (Progress progress = out.progress(name, demo.windows())) {
            SchemeResult result = demo.measure(scheme, _ -> progress.step());
            progress.clear();
            String against = before.isEmpty() ? "" : String.format(Locale.ROOT, "%+.2f %%",
                    100 * (result.perplexity() / before.getFirst().perplexity() - 1));
            out.line(ROW, result.label(), result.bitsPerWeight(), mib(result.linearBytes()), mib(result.totalBytes()), result.perplexity(),
                    against, result.promptTokensPerSecond(), result.decodeTokensPerSecond());
            return result;
        }
    }

    /** The scheme of at most five bits that costs least perplexity; where there is none, the best of all. */
    private static Scheme best4Bit(List<SchemeResult> results) {
        List<SchemeResult> quantized = results.subList(1, results.size());
        return quantized.stream().filter(r -> r.bitsPerWeight() < 5).min(java.util.Comparator.comparingDouble(SchemeResult::perplexity))
                .or(() -> quantized.stream().min(java.util.Comparator.comparingDouble(SchemeResult::perplexity)))
                .map(SchemeResult::scheme).orElseThrow();
    }

    private List<String> machine(Backend backend) throws java.io.IOException {
        Machine machine = Machine.read();
        return List.of("Machine: " + machine.cpu() + ", " + backendOption.threads() + " threads; " + machine.jdk() + "; " + machine.os(),
                "Backend: " + backend.name() + ", " + backend.description());
    }

    private List<String> protocol(Demo demo) {
        return List.of(
                "Quantized: every linear layer but the output layer, rounded to nearest; INT4 with F16 scales, MXFP4 and MXFP8 with the floor rule.",
                "Perplexity: " + demo.windows() + " of the " + demo.allWindows() + " windows of text that training never saw, evenly spread; "
                        + demo.protocol() + ".",
                "Speed: a prompt of " + Demo.PROMPT + " tokens in one pass, then " + maxTokens + " tokens one by one; median of "
                        + Demo.REPETITIONS + " runs after one untimed.",
                "Bytes: codes, scales and zero points as the format stores them; the whole model adds embeddings and norms as stored.");
    }

    private Map<String, Object> document(Report page, double seconds) {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("model", page.model());
        document.put("machine", page.machine());
        document.put("protocol", page.protocol());
        List<Object> results = new ArrayList<>();
        for (SchemeResult r : page.results()) {
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("scheme", r.label());
            entry.put("perplexity", r.perplexity());
            entry.put("bits_per_weight", r.bitsPerWeight());
            entry.put("linear_bytes", r.linearBytes());
            entry.put("total_bytes", r.totalBytes());
            entry.put("prompt_tokens_per_second", r.promptTokensPerSecond());
            entry.put("decode_tokens_per_second", r.decodeTokensPerSecond());
            Map<String, Object> layers = new LinkedHashMap<>();
            for (int i = 0; i < r.sqnr().size(); i++) {
                layers.put(page.layers().get(i), r.sqnr().get(i));
            }
            entry.put("sqnr_db", layers);
            results.add(entry);
        }
        document.put("results", results);
        document.put("prompt", page.prompt());
        document.put("continuation", page.continuation());
        document.put("continuation_by", page.continuationScheme());
        document.put("report", report.toAbsolutePath().toString());
        document.put("seconds", seconds);
        return document;
    }

    private static double mib(long bytes) {
        return bytes / 1048576.0;
    }
}
