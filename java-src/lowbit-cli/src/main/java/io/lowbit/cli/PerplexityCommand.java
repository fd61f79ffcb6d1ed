package io.lowbit.cli;

import io.lowbit.backend.Backend;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Perplexity;
import io.lowbit.llm.TextCorpus;
import io.lowbit.llm.TextTokenizer;
import io.lowbit.quant.Scheme;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code lowbit perplexity}: how well a model predicts a text, as stored or quantized on the fly. */
@Command(
        name = "perplexity",
        description = "Perplexity of a Llama-family folder, as stored or quantized on the fly. --scheme may be given several times; "
                + "none is the model as stored.")
final class PerplexityCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private Output out;

    @Mixin
    private BackendOption backend;

    @Mixin
    private SchemeOptions schemes;

    @Parameters(paramLabel = "MODEL", description = "Folder with config.json, tokenizer.json and safetensors files.")
    private Path model;

    @Option(
            names = "--text",
            paramLabel = "FILE.jsonl",
            description = "Documents, one JSON object with a \"text\" a line. Default: test.jsonl in the model's folder.")
    private Path text;

    @Option(names = "--windows", paramLabel = "N", description = "Only the first N windows. Default: all.")
    private Integer windows;

    @Override
    public Integer call() throws Exception {
        if (windows != null && windows < 1) {
            throw new ParameterException(spec.commandLine(), "--windows " + windows + ": expected at least 1");
        }
        List<Optional<Scheme>> asked = schemes.given() ? schemes.all() : List.of(Optional.empty());
        int limit = windows == null ? Integer.MAX_VALUE : windows;
        int[] tokens = null;
        String protocol = null;
        List<Map<String, Object>> results = new ArrayList<>();
        Table table = new Table("scheme", ">perplexity", ">linear MiB", ">all MiB", ">tokens/s", ">s");
        Path file = corpus();
        try (Backend on = backend.open(out)) {
            for (Optional<Scheme> scheme : asked) {
                try (LlamaModel loaded = LlamaModel.load(model, on, scheme.orElse(null), schemes.options(backend.threads()))) {
                    if (tokens == null) {
                        try (TextTokenizer tokenizer = TextTokenizer.load(model)) {
                            tokens = Perplexity.stream(loaded.config(), tokenizer, TextCorpus.read(file));
                        }
                        out.line("%s: %d tokens, each document preceded by token %d", file, tokens.length, loaded.config().bosToken());
                        protocol = Perplexity.protocol(loaded);
                        out.line("%s", protocol);
                    }
                    String label = scheme.map(Scheme::label).orElse("as stored");
                    Perplexity.Result result = measure(loaded, tokens, limit, label);
                    table.row(label, String.format(java.util.Locale.ROOT, "%.4f", result.perplexity()), mib(loaded.linearBytes()),
                            mib(loaded.bytes()), Math.round(result.tokensPerSecond()),
                            String.format(java.util.Locale.ROOT, "%.1f", result.seconds()));
                    results.add(entry(label, loaded, result));
                }
            }
            out.table(table);
            Map<String, Object> document = new LinkedHashMap<>();
            document.put("model", model.toString());
            document.put("text", file.toString());
            document.put("tokens", tokens.length);
            document.put("protocol", protocol);
            document.put("backend", on.name());
            document.put("results", results);
            out.document(document);
        }
        return 0;
    }

    private Path corpus() {
        Path file = text == null ? model.resolve("test.jsonl") : text;
        if (text == null && !Files.isRegularFile(file)) {
            throw new CliException(model + ": no test.jsonl to measure on; give --text FILE.jsonl");
        }
        return file;
    }

    private Perplexity.Result measure(LlamaModel loaded, int[] tokens, int limit, String label) {
        int total = Math.min(limit, tokens.length / Perplexity.WINDOW);
        try (Progress progress = out.progress(label, total)) {
            return Perplexity.measure(loaded, tokens, limit, _ -> progress.step());
        }
    }

    private static Map<String, Object> entry(String label, LlamaModel model, Perplexity.Result result) {
        Map<String, Object> entry = new LinkedHashMap<>();
        entry.put("scheme", label);
        entry.put("perplexity", result.perplexity());
        entry.put("mean_nll", result.meanNll());
        entry.put("windows", result.windows());
        entry.put("predicted_tokens", result.predicted());
        entry.put("linear_bytes", model.linearBytes());
        entry.put("bytes", model.bytes());
        entry.put("tokens_per_second", result.tokensPerSecond());
        entry.put("seconds", result.seconds());
        return entry;
    }

    private static String mib(long bytes) {
        return String.format(java.util.Locale.ROOT, "%.2f", bytes / (double) (1 << 20));
    }
}
