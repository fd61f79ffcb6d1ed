package io.lowbit.cli;

import io.lowbit.backend.Backend;
import io.lowbit.llm.Generator;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Sampler;
import io.lowbit.llm.Session;
import io.lowbit.llm.TextTokenizer;
import io.lowbit.quant.Scheme;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
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

/** {@code lowbit generate}: a model continues a prompt, token by token. */
@Command(
        name = "generate",
        description = "Continue a prompt, streaming. The prompt gets the tokens that the model's tokenizer puts around a text, as in "
                + "transformers. Speed goes to standard error.")
final class GenerateCommand implements Callable<Integer> {
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

    @Option(names = "--prompt", required = true, paramLabel = "TEXT", description = "What to continue.")
    private String prompt;

    @Option(names = "--max-tokens", paramLabel = "N", defaultValue = "128", description = "Most tokens to write. Default: ${DEFAULT-VALUE}.")
    private int maxTokens;

    @Option(
            names = "--temperature",
            paramLabel = "T",
            defaultValue = "0.8",
            description = "Spread of the choice; 0 always takes the likeliest token. Default: ${DEFAULT-VALUE}.")
    private double temperature;

    @Option(names = "--top-k", paramLabel = "K", defaultValue = "0", description = "Only the K likeliest tokens; 0 = all. Default: ${DEFAULT-VALUE}.")
    private int topK;

    @Option(
            names = "--top-p",
            paramLabel = "P",
            defaultValue = "0.95",
            description = "Only the likeliest tokens that reach probability P together; 1 = all. Default: ${DEFAULT-VALUE}.")
    private double topP;

    @Option(
            names = "--seed",
            paramLabel = "S",
            defaultValue = "0",
            description = "Of the random choice: the same seed gives the same text on the same backend. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(names = "--ignore-eos", description = "Write on after a token that ends a text.")
    private boolean ignoreEos;

    @Override
    public Integer call() throws Exception {
        if (maxTokens < 1) {
            throw new ParameterException(spec.commandLine(), "--max-tokens " + maxTokens + ": expected at least 1");
        }
        Sampler sampler = Sampler.of(temperature, topK, topP, seed);
        Optional<Scheme> scheme = schemes.one();
        try (TextTokenizer tokenizer = TextTokenizer.load(model);
                Backend on = backend.open(out);
                LlamaModel loaded = LlamaModel.load(model, on, scheme.orElse(null), schemes.options(backend.threads()))) {
            int[] tokens = tokenizer.encodePrompt(prompt);
            if (tokens.length == 0) {
                throw new CliException("--prompt: no tokens; give some text");
            }
            long positions = (long) tokens.length + maxTokens;
            if (positions > loaded.config().maxPositions()) {
                throw new CliException("--max-tokens " + maxTokens + ": with the prompt's " + tokens.length + " tokens more than the model's context of "
                        + loaded.config().maxPositions() + "; ask for fewer");
            }
            out.text(prompt);
            StringBuilder text = new StringBuilder();
            TextTokenizer.Stream stream = tokenizer.stream(part -> {
                text.append(part);
                out.text(part);
            });
            Generator.Result result;
            try (Session session = loaded.newSession((int) positions)) {
                result = Generator.generate(loaded, session, tokens, sampler, maxTokens, !ignoreEos, stream::accept);
            }
            stream.finish();
            out.line("");
            String label = scheme.map(Scheme::label).orElse("as stored");
            out.note(String.format(Locale.ROOT, "%s, temperature %s, top-k %d, top-p %s, seed %d: prompt %d tokens, %.0f tokens/s; decode %d tokens, %.0f tokens/s%s",
                    label, temperature, topK, topP, seed, result.promptTokens(), result.promptTokensPerSecond(), result.tokens().length,
                    result.decodeTokensPerSecond(), result.ended() ? "; the text ended" : ""));
            out.document(document(on, label, text.toString(), result));
        }
        return 0;
    }

    private Map<String, Object> document(Backend on, String label, String text, Generator.Result result) {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("model", model.toString());
        document.put("backend", on.name());
        document.put("scheme", label);
        document.put("temperature", temperature);
        document.put("top_k", topK);
        document.put("top_p", topP);
        document.put("seed", seed);
        document.put("prompt", prompt);
        document.put("text", text);
        document.put("tokens", java.util.Arrays.stream(result.tokens()).boxed().toList());
        document.put("ended", result.ended());
        document.put("prompt_tokens", result.promptTokens());
        document.put("prompt_tokens_per_second", result.promptTokensPerSecond());
        document.put("decode_tokens_per_second", result.decodeTokensPerSecond());
        return document;
    }
}
