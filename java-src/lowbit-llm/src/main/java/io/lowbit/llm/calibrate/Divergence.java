package io.lowbit.llm.calibrate;

import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Session;
import io.lowbit.quant.Parallel;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.util.Arrays;
import java.util.function.IntToDoubleFunction;

/**
 * How far a changed model's predictions are from the original's: the mean Kullback-Leibler divergence D(original ‖ changed)
 * of the next token's distribution, in nats, over all positions of some windows. Where the original predicts well, it is
 * what the change adds to the mean negative log-likelihood; unlike the latter's difference on a sample it has no part that
 * may fall either way, so few windows tell small changes apart.
 */
final class Divergence implements AutoCloseable {
    private final int[][] windows;
    private final int vocabulary;
    private final int threads;
    /** Log-probabilities of the original, a run of {@link Session#MAX_LOGIT_ROWS} rows at a time, and the probabilities behind them. */
    private final HiddenStates original;
    private final int runs;

    Divergence(LlamaModel model, int[][] windows, int threads) throws IOException {
        this.windows = windows;
        this.vocabulary = model.config().vocabSize();
        this.threads = threads;
        this.runs = Math.ceilDiv(windows[0].length, Session.MAX_LOGIT_ROWS);
        int half = Session.MAX_LOGIT_ROWS * vocabulary;
        this.original = new HiddenStates(windows.length * runs, 2 * half);
        float[] block = new float[2 * half];
        forEachRun(model, null, 0, (run, logits, rows) -> {
            sumOfRows(rows, r -> {
                logProbabilities(logits, r, block, r * vocabulary);
                for (int t = r * vocabulary; t < (r + 1) * vocabulary; t++) {
                    block[half + t] = (float) Math.exp(block[t]);
                }
                return 0;
            });
            original.write(run, block);
            return 0;
        });
    }

    /** The mean divergence of {@code model} from the original. */
    double of(LlamaModel model) {
        return of(model, null, 0);
    }

    /**
     * The mean divergence of a model whose layers before decoder layer {@code layer} are the original's.
     *
     * @param before the windows' residual streams in front of that layer; null to begin with the tokens
     */
    double of(LlamaModel model, HiddenStates before, int layer) {
        int half = Session.MAX_LOGIT_ROWS * vocabulary;
        float[] block = new float[2 * half];
        double sum = forEachRun(model, before, layer, (run, logits, rows) -> {
            original.read(run, block);
            return sumOfRows(rows, r -> {
                float[] changed = new float[vocabulary];
                logProbabilities(logits, r, changed, 0);
                double divergence = 0;
                for (int t = 0; t < vocabulary; t++) {
                    int at = r * vocabulary + t;
                    divergence += (double) block[half + at] * (block[at] - changed[t]);
                }
                return divergence;
            });
        });
        return sum / ((double) windows.length * windows[0].length);
    }

    private interface Run {
        double apply(int run, Tensor logits, int rows);
    }

    private double forEachRun(LlamaModel model, HiddenStates before, int layer, Run each) {
        double sum = 0;
        int length = windows[0].length;
        float[] hidden = before == null ? null : new float[length * model.config().hiddenSize()];
        try (Session session = model.newSession(length)) {
            for (int w = 0; w < windows.length; w++) {
                session.reset();
                if (before == null) {
                    session.append(windows[w]);
                } else {
                    before.read(w, hidden);
                    for (int i = layer; i < model.config().layers(); i++) {
                        session.throughLayer(i, hidden, length);
                    }
                }
                for (int i = 0; i < runs; i++) {
                    int from = i * Session.MAX_LOGIT_ROWS;
                    int rows = Math.min(Session.MAX_LOGIT_ROWS, length - from);
                    sum += each.apply(w * runs + i, session.logits(from, rows), rows);
                }
            }
        }
        return sum;
    }

    /** Rows are computed on all threads and summed in order. */
    private double sumOfRows(int rows, IntToDoubleFunction row) {
        double[] sums = new double[rows];
        Parallel.run(rows, 8L * vocabulary, 1, threads, (from, to) -> {
            for (int r = (int) from; r < to; r++) {
                sums[r] = row.applyAsDouble(r);
            }
        });
        return Arrays.stream(sums).sum();
    }

    private void logProbabilities(Tensor logits, int row, float[] out, int at) {
        logits.readFloats((long) row * vocabulary, out, at, vocabulary);
        float max = Float.NEGATIVE_INFINITY;
        for (int t = at; t < at + vocabulary; t++) {
            max = Math.max(max, out[t]);
        }
        double sum = 0;
        for (int t = at; t < at + vocabulary; t++) {
            sum += Math.exp(out[t] - max);
        }
        float shift = (float) (max + Math.log(sum));
        for (int t = at; t < at + vocabulary; t++) {
            out[t] -= shift;
        }
    }

    @Override
    public void close() {
        original.close();
    }
}
