package io.lowbit.llm.calibrate;

import io.lowbit.llm.LlamaModel;
import io.lowbit.llm.Session;
import io.lowbit.tensor.Tensor;
import java.io.IOException;

/**
 * How far a changed model's predictions are from the original's: the mean Kullback-Leibler divergence D(original ‖ changed)
 * of the next token's distribution, in nats, over all positions of some windows. Where the original predicts well, it is
 * what the change adds to the mean negative log-likelihood; unlike the latter's difference on a sample it has no part that
 * may fall either way, so few windows tell small changes apart.
 */
final class Divergence implements AutoCloseable {
    private final int[][] windows;
    private final int vocabulary;
    /** Log-probabilities of the original, a run of {@link Session#MAX_LOGIT_ROWS} rows at a time. */
    private final HiddenStates original;
    private final int runs;

    Divergence(LlamaModel model, int[][] windows) throws IOException {
        this.windows = windows;
        this.vocabulary = model.config().vocabSize();
        this.runs = Math.ceilDiv(windows[0].length, Session.MAX_LOGIT_ROWS);
        this.original = new HiddenStates(windows.length * runs, Session.MAX_LOGIT_ROWS * vocabulary);
        float[] block = new float[Session.MAX_LOGIT_ROWS * vocabulary];
        forEachRun(model, (run, logits, rows) -> {
            for (int r = 0; r < rows; r++) {
                logProbabilities(logits, r, block, r * vocabulary);
            }
            original.write(run, block);
            return 0;
        });
    }

    /** The mean divergence of {@code model} from the original. */
    double of(LlamaModel model) {
        float[] block = new float[Session.MAX_LOGIT_ROWS * vocabulary];
        float[] changed = new float[vocabulary];
        double sum = forEachRun(model, (run, logits, rows) -> {
            original.read(run, block);
            double divergence = 0;
            for (int r = 0; r < rows; r++) {
                logProbabilities(logits, r, changed, 0);
                for (int t = 0; t < vocabulary; t++) {
                    double p = block[r * vocabulary + t];
                    divergence += Math.exp(p) * (p - changed[t]);
                }
            }
            return divergence;
        });
        return sum / ((double) windows.length * windows[0].length);
    }

    private interface Run {
        double apply(int run, Tensor logits, int rows);
    }

    private double forEachRun(LlamaModel model, Run each) {
        double sum = 0;
        try (Session session = model.newSession(windows[0].length)) {
            for (int w = 0; w < windows.length; w++) {
                session.reset();
                session.append(windows[w]);
                for (int i = 0; i < runs; i++) {
                    int from = i * Session.MAX_LOGIT_ROWS;
                    int rows = Math.min(Session.MAX_LOGIT_ROWS, windows[w].length - from);
                    sum += each.apply(w * runs + i, session.logits(from, rows), rows);
                }
            }
        }
        return sum;
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
