package io.lowbit.cli.demo;

import io.lowbit.backend.Backend;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.cli.report.SchemeResult;
import io.lowbit.llm.Generator;
import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Perplexity;
import io.lowbit.llm.Sampler;
import io.lowbit.llm.Session;
import io.lowbit.llm.TextTokenizer;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.Sqnr;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.LongConsumer;

/** Measures the model as stored and in any scheme: perplexity, bytes, speed and the error of each layer. */
public final class Demo implements AutoCloseable {
    /** Tokens of the prompt whose reading is timed. */
    public static final int PROMPT = 256;
    /** Timed repetitions of prompt and decode; the median counts. */
    public static final int REPETITIONS = 3;

    private final DemoModel files;
    private final SafetensorsFile weights;
    private final TextTokenizer tokenizer;
    private final Backend backend;
    private final QuantizeOptions options;
    private final int decodeTokens;
    private final int[] stream;
    private final int[] windows;
    private final String protocol;
    private List<String> layers = List.of();

    /**
     * @param maxWindows windows of the test text that perplexity is measured on, spread evenly over it
     * @param decodeTokens tokens generated one by one to measure their speed, at least 2
     */
    public Demo(DemoModel files, Backend backend, QuantizeOptions options, int maxWindows, int decodeTokens) throws IOException {
        this.files = files;
        this.backend = backend;
        this.options = options;
        this.decodeTokens = decodeTokens;
        this.weights = SafetensorsFile.open(files.folder().resolve("model.safetensors"));
        this.tokenizer = TextTokenizer.load(files.folder());
        try (LlamaModel model = load(null)) {
            this.stream = Perplexity.stream(model.config(), tokenizer, files.documents());
            this.layers = List.copyOf(model.linears().keySet());
            this.protocol = Perplexity.protocol(model);
        }
        int all = stream.length / Perplexity.WINDOW;
        int count = Math.min(maxWindows, all);
        this.windows = new int[count];
        for (int i = 0; i < count; i++) {
            windows[i] = (int) ((long) i * all / count);
        }
    }

    /** The schemes of the demo: every family, in the groupings that people use. */
    public static List<Scheme> schemes() {
        return List.of(
                new Scheme.Int4(Grouping.CHANNEL, true),
                new Scheme.Int4(Grouping.group(128), true),
                new Scheme.Int4(Grouping.group(64), true),
                new Scheme.Int4(Grouping.group(32), true),
                new Scheme.Int4(Grouping.group(128), false),
                new Scheme.Int4(Grouping.group(64), false),
                new Scheme.Int4(Grouping.group(32), false),
                new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false),
                new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true),
                new Scheme.Bnb4(Scheme.Codebook.FP4, 64, false),
                new Scheme.Mxfp4(),
                new Scheme.Nvfp4(),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL),
                new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.TENSOR),
                new Scheme.Mxfp8(Scheme.Fp8Format.E4M3));
    }

    /** Names of the linear layers that a scheme quantizes. */
    public List<String> layers() {
        return layers;
    }

    /** How perplexity is measured, for people. */
    public String protocol() {
        return protocol;
    }

    /** Windows measured, and how many the test text has. */
    public int windows() {
        return windows.length;
    }

    /** All windows of the test text. */
    public int allWindows() {
        return stream.length / Perplexity.WINDOW;
    }

    /**
     * Measures one scheme.
     *
     * @param scheme null for the model as stored
     * @param progress called with the number of windows done
     */
    public SchemeResult measure(Scheme scheme, LongConsumer progress) throws IOException {
        List<Double> sqnr = new ArrayList<>();
        long linearBytes = 0;
        long parameters = 0;
        Scheme stored = null;
        for (String layer : layers) {
            Tensor tensor = weights.tensor(layer + ".weight");
            parameters += tensor.elements();
            try (Arena arena = Arena.ofShared()) {
                QuantizedMatrix matrix = scheme == null ? QuantizedMatrix.dense(tensor) : Quantizer.quantize(tensor, scheme, options, arena);
                linearBytes += matrix.bytes();
                stored = matrix.scheme();
                if (scheme != null) {
                    sqnr.add(Sqnr.of(matrix, tensor, options.threads()).decibels());
                }
            }
        }
        long others = weights.tensors().values().stream().mapToLong(t -> t.data().byteSize()).sum()
                - layers.stream().mapToLong(l -> weights.tensor(l + ".weight").data().byteSize()).sum();
        try (LlamaModel model = load(scheme)) {
            Perplexity.Result perplexity = Perplexity.measure(model, chosenWindows(), windows.length, progress);
            // untimed: the kernels of this scheme reach compiled code for one row, too
            speed(model);
            Generator.Result[] runs = new Generator.Result[REPETITIONS];
            for (int i = 0; i < runs.length; i++) {
                runs[i] = speed(model);
            }
            return new SchemeResult(stored.label(), stored, perplexity.perplexity(), 8.0 * linearBytes / parameters, linearBytes,
                    linearBytes + others, median(runs, Generator.Result::promptTokensPerSecond),
                    median(runs, Generator.Result::decodeTokensPerSecond), sqnr);
        }
    }

    /**
     * Continues a text.
     *
     * @param sink takes the text piece by piece as it is written
     * @return the whole continuation
     */
    public String write(Scheme scheme, String prompt, Sampler sampler, int maxTokens, Consumer<String> sink)
            throws IOException {
        StringBuilder text = new StringBuilder();
        int[] encoded = tokenizer.encode(prompt);
        try (LlamaModel model = load(scheme)) {
            int[] tokens = new int[encoded.length + 1];
            tokens[0] = model.config().bosToken();
            System.arraycopy(encoded, 0, tokens, 1, encoded.length);
            TextTokenizer.Stream decoder = tokenizer.stream(part -> {
                text.append(part);
                sink.accept(part);
            });
            try (Session session = model.newSession(tokens.length + maxTokens)) {
                Generator.generate(model, session, tokens, sampler, maxTokens, true, decoder::accept);
            }
            decoder.finish();
        }
        return text.toString();
    }

    private LlamaModel load(Scheme scheme) throws IOException {
        return LlamaModel.load(files.folder(), backend, scheme, options);
    }

    private Generator.Result speed(LlamaModel model) {
        int[] prompt = Arrays.copyOf(stream, PROMPT);
        try (Session session = model.newSession(PROMPT + decodeTokens)) {
            return Generator.generate(model, session, prompt, Sampler.greedy(), decodeTokens, false, _ -> {});
        }
    }

    private int[] chosenWindows() {
        int[] chosen = new int[windows.length * Perplexity.WINDOW];
        for (int i = 0; i < windows.length; i++) {
            System.arraycopy(stream, windows[i] * Perplexity.WINDOW, chosen, i * Perplexity.WINDOW, Perplexity.WINDOW);
        }
        return chosen;
    }

    private static double median(Generator.Result[] runs, java.util.function.ToDoubleFunction<Generator.Result> value) {
        double[] values = Arrays.stream(runs).mapToDouble(value).sorted().toArray();
        return values[values.length / 2];
    }

    @Override
    public void close() {
        tokenizer.close();
        weights.close();
    }
}
