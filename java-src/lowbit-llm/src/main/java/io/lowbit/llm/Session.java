package io.lowbit.llm;

import io.lowbit.tensor.Tensor;

/**
 * One sequence being decoded. {@link #append} takes the prompt in one go or token by token, with the same result;
 * {@link #logits} then predicts what follows. Not for several threads at once.
 */
public final class Session implements AutoCloseable {
    /** Most tokens of one pass through the layers; longer input takes several. */
    public static final int MAX_ROWS = 512;
    /** Most rows of one {@link #logits} call: they and the vocabulary make a large tensor. */
    public static final int MAX_LOGIT_ROWS = 64;

    private final LlamaModel model;
    private final ModelConfig config;
    private final int capacity;
    private final int maxRows;
    private final Decoder decoder;
    private boolean closed;
    private int length;
    /** Rows that {@link #logits} can be asked for. */
    private int rows;

    Session(LlamaModel model, int capacity, int maxRows) {
        if (capacity < 1) {
            throw new IllegalArgumentException("capacity " + capacity + ": expected at least 1 position");
        }
        this.model = model;
        this.config = model.config();
        this.capacity = capacity;
        this.maxRows = maxRows;
        this.decoder = model.engine().open(capacity, maxRows);
    }

    /** Positions seen so far. */
    public int length() {
        return length;
    }

    /** Positions that fit. */
    public int capacity() {
        return capacity;
    }

    /** Forgets every position; the memory stays. */
    public void reset() {
        length = 0;
        rows = 0;
    }

    /**
     * Feeds {@code count} further tokens, {@code tokens[from]} first. Afterwards the rows of {@link #logits} are those
     * of the last pass: all {@code count} of them where {@code count ≤ MAX_ROWS}.
     *
     * @throws IllegalArgumentException when they do not fit or one is not in the vocabulary; nothing is fed then
     */
    public void append(int[] tokens, int from, int count) {
        checkOpen();
        if (count < 1 || count > capacity - length) {
            throw new IllegalArgumentException(count + " tokens after " + length + ": expected 1 to " + (capacity - length)
                    + " more in a session of " + capacity + " positions");
        }
        for (int i = from; i < from + count; i++) {
            if (tokens[i] < 0 || tokens[i] >= config.vocabSize()) {
                throw new IllegalArgumentException("token " + tokens[i] + " at " + i + ": expected 0 to " + (config.vocabSize() - 1)
                        + "; is the tokenizer the model's own?");
            }
        }
        for (int done = 0; done < count; done += maxRows) {
            pass(tokens, from + done, Math.min(maxRows, count - done), config.layers());
        }
    }

    /** {@link #append(int[], int, int)} of all. */
    public void append(int... tokens) {
        append(tokens, 0, tokens.length);
    }

    /**
     * Scores of every token of the vocabulary to follow rows {@code from .. from+count} of the last pass.
     *
     * @param count at most {@link #MAX_LOGIT_ROWS}
     * @return F32 {@code [count, vocabulary]}, a view that the next call overwrites
     */
    public Tensor logits(int from, int count) {
        checkOpen();
        int most = Math.min(maxRows, MAX_LOGIT_ROWS);
        if (from < 0 || count < 1 || from + count > rows || count > most) {
            throw new IllegalArgumentException("logits of rows " + from + " to " + (from + count) + ": the last pass has " + rows
                    + " rows, and one call gives at most " + most);
        }
        return decoder.logits(from, count);
    }

    /** {@link #logits(int, int)} of the last token fed. */
    public Tensor lastLogits() {
        return logits(rows - 1, 1);
    }

    /** The residual stream {@code [count, hiddenSize]} after the first {@code layers} layers; feeds as {@link #append}. */
    float[] hiddenAfter(int[] tokens, int count, int layers) {
        pass(tokens, 0, count, layers);
        float[] hidden = new float[count * config.hiddenSize()];
        decoder.residual(hidden);
        return hidden;
    }

    /** The residual stream {@code [tokens.length, hiddenSize]} that the first layer starts from: the tokens' embeddings. */
    public void embed(int[] tokens, float[] hidden) {
        int size = config.hiddenSize();
        for (int r = 0; r < tokens.length; r++) {
            model.embedding().readFloats((long) tokens[r] * size, hidden, r * size, size);
        }
    }

    /**
     * Takes one sequence through one layer: {@code hidden} {@code [rows, hiddenSize]}, at most {@link #MAX_ROWS} rows from
     * position 0 on, becomes what the layer leaves behind. What the session held before is forgotten; after the last layer
     * {@link #logits} are those of these rows.
     */
    public void throughLayer(int layer, float[] hidden, int rows) {
        checkOpen();
        if (rows < 1 || rows > maxRows) {
            throw new IllegalArgumentException(rows + " rows: expected 1 to " + maxRows);
        }
        length = 0;
        decoder.throughLayer(layer, hidden, rows);
        this.rows = layer == config.layers() - 1 ? rows : 0;
    }

    private void pass(int[] tokens, int from, int count, int layers) {
        decoder.pass(tokens, from, count, length, layers);
        rows = count;
        length += count;
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("this session is closed; open another with LlamaModel.newSession");
        }
    }

    /** Frees its memory; a second call does nothing. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            decoder.close();
        }
    }
}
