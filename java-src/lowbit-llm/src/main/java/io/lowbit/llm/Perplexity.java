package io.lowbit.llm;

import io.lowbit.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.function.LongConsumer;

/**
 * Perplexity of a model on a stream of tokens: windows of {@link #WINDOW} tokens that do not overlap, the tail
 * dropped; every token of a window but the first is predicted from those before it in the window; the result is
 * e^(mean negative log-likelihood).
 */
public final class Perplexity {
    /** Tokens of a window. */
    public static final int WINDOW = 512;
    private static final String WINDOWS = "non-overlapping windows of " + WINDOW + " tokens, tail dropped, positions 1.." + (WINDOW - 1)
            + " of each predicted, exp(mean negative log-likelihood)";

    private Perplexity() {}

    /**
     * A measurement.
     *
     * @param perplexity e^meanNll
     * @param meanNll mean negative log-likelihood, in nats
     * @param windows windows measured
     * @param predicted tokens predicted: windows · 511
     * @param seconds wall time
     */
    public record Result(double perplexity, double meanNll, int windows, long predicted, double seconds) {
        /** Tokens read a second. */
        public double tokensPerSecond() {
            return (double) windows * WINDOW / seconds;
        }
    }

    /** How {@link #measure} measures {@code model}: one line for people. */
    public static String protocol(LlamaModel model) {
        return WINDOWS + ", " + model.activations() + " activations";
    }

    /**
     * One stream of several documents, each preceded by the model's token that opens a document.
     *
     * @throws IllegalArgumentException when the model has no such token
     */
    public static int[] stream(ModelConfig config, TextTokenizer tokenizer, List<String> documents) {
        if (config.bosToken() < 0) {
            throw new IllegalArgumentException("config.json has no bos_token_id, which opens each document; add one");
        }
        int[] stream = new int[1024];
        int length = 0;
        for (String document : documents) {
            int[] tokens = tokenizer.encode(document);
            if (length + 1 + tokens.length > stream.length) {
                stream = Arrays.copyOf(stream, Math.max(2 * stream.length, length + 1 + tokens.length));
            }
            stream[length++] = config.bosToken();
            System.arraycopy(tokens, 0, stream, length, tokens.length);
            length += tokens.length;
        }
        return Arrays.copyOf(stream, length);
    }

    /**
     * Measures.
     *
     * @param tokens at least one window
     * @param maxWindows takes only the first so many; {@link Integer#MAX_VALUE} for all
     * @param progress called with the number of windows done so far
     * @throws IllegalArgumentException when the stream is shorter than a window
     */
    public static Result measure(LlamaModel model, int[] tokens, int maxWindows, LongConsumer progress) {
        int windows = Math.min(tokens.length / WINDOW, maxWindows);
        if (windows < 1) {
            throw new IllegalArgumentException(tokens.length + " tokens, " + maxWindows + " windows at most: expected at least one window of "
                    + WINDOW + " tokens");
        }
        long start = System.nanoTime();
        double nll = 0;
        try (Session session = model.newSession(WINDOW)) {
            double[] perRow = new double[Session.MAX_LOGIT_ROWS];
            float[][] scratch = new float[model.workers().count()][model.config().vocabSize()];
            for (int w = 0; w < windows; w++) {
                session.reset();
                session.append(tokens, w * WINDOW, WINDOW);
                for (int row = 0; row < WINDOW - 1; row += Session.MAX_LOGIT_ROWS) {
                    int rows = Math.min(Session.MAX_LOGIT_ROWS, WINDOW - 1 - row);
                    Tensor logits = session.logits(row, rows);
                    int next = w * WINDOW + row + 1;
                    model.workers().run(rows, true, (r, worker) -> perRow[r] = nll(logits, r, tokens[next + r], scratch[worker]));
                    for (int r = 0; r < rows; r++) {
                        nll += perRow[r];
                    }
                }
                progress.accept(w + 1);
            }
        }
        long predicted = (long) windows * (WINDOW - 1);
        double mean = nll / predicted;
        return new Result(Math.exp(mean), mean, windows, predicted, (System.nanoTime() - start) * 1e-9);
    }

    /** −log softmax(row)[target] = log Σ e^(x − max) − (x[target] − max). */
    private static double nll(Tensor logits, int row, int target, float[] x) {
        int n = x.length;
        logits.readFloats((long) row * n, x, 0, n);
        float max = ArrayMath.max(x, 0, n);
        float likelihood = x[target] - max;
        ArrayMath.expShifted(x, max, x, 0, n);
        return Math.log(ArrayMath.sum(x, 0, n)) - likelihood;
    }
}
