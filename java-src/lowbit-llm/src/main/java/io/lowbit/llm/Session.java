package io.lowbit.llm;

import io.lowbit.backend.Linear;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.List;

/**
 * One sequence being decoded: its key/value cache and the working memory of a pass. {@link #append} takes the prompt
 * in one go or token by token, with the same result; {@link #logits} then predicts what follows. Not for several
 * threads at once.
 *
 * <p>Linear layers read and write off-heap tensors; what lies between them (norms, rotation, attention, SwiGLU) works
 * row by row in small arrays, split over the model's workers.
 */
public final class Session implements AutoCloseable {
    /** Most tokens of one pass through the layers; longer input takes several. */
    public static final int MAX_ROWS = 512;
    /** Most rows of one {@link #logits} call: they and the vocabulary make a large tensor. */
    public static final int MAX_LOGIT_ROWS = 64;
    /** Rows that a worker takes at a time. */
    private static final int BLOCK = 8;
    /** Multiply-adds that take as long as waking the workers (some 50 microseconds). */
    private static final long WORTH_WORKERS = 1 << 20;

    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final LlamaModel model;
    private final ModelConfig config;
    private final int capacity;
    private final int maxRows;
    private final Arena arena = Arena.ofShared();
    private final Activations all;
    private final Tensor logits;
    private final float[] residual;
    private final RotaryEmbedding rotary;
    private final Attention attention;
    private final KvCache[][] caches;
    private final Scratch[] scratch;
    private Activations pass;
    private int length;

    Session(LlamaModel model, int capacity, int maxRows) {
        if (capacity < 1) {
            throw new IllegalArgumentException("capacity " + capacity + ": expected at least 1 position");
        }
        this.model = model;
        this.config = model.config();
        this.capacity = capacity;
        this.maxRows = maxRows;
        this.all = Activations.allocate(arena, config, maxRows);
        this.pass = all;
        this.logits = Tensor.allocate(arena, DType.F32, Math.min(maxRows, MAX_LOGIT_ROWS), config.vocabSize());
        this.residual = new float[Math.multiplyExact(maxRows, config.hiddenSize())];
        this.rotary = new RotaryEmbedding(config.headDim(), config.ropeTheta(), config.ropeScaling());
        this.attention = new Attention(Matmul.best(), config.headDim());
        this.caches = new KvCache[config.layers()][config.kvHeads()];
        for (KvCache[] layer : caches) {
            for (int head = 0; head < layer.length; head++) {
                layer[head] = new KvCache(config.headDim());
            }
        }
        this.scratch = new Scratch[model.workers().count()];
        for (int w = 0; w < scratch.length; w++) {
            scratch[w] = new Scratch(config);
        }
    }

    /** What one pass of {@code rows} tokens writes and reads, row-major F32. The gate is overwritten by its SwiGLU. */
    private record Activations(int rows, Tensor normed, Tensor q, Tensor k, Tensor v, Tensor attended, Tensor projected, Tensor gate, Tensor up) {
        static Activations allocate(Arena arena, ModelConfig c, int rows) {
            int queries = c.heads() * c.headDim();
            int keys = c.kvHeads() * c.headDim();
            return new Activations(rows, Tensor.allocate(arena, DType.F32, rows, c.hiddenSize()), Tensor.allocate(arena, DType.F32, rows, queries),
                    Tensor.allocate(arena, DType.F32, rows, keys), Tensor.allocate(arena, DType.F32, rows, keys),
                    Tensor.allocate(arena, DType.F32, rows, queries), Tensor.allocate(arena, DType.F32, rows, c.hiddenSize()),
                    Tensor.allocate(arena, DType.F32, rows, c.intermediateSize()), Tensor.allocate(arena, DType.F32, rows, c.intermediateSize()));
        }

        Activations first(int count) {
            return new Activations(count, normed.rows(0, count), q.rows(0, count), k.rows(0, count), v.rows(0, count), attended.rows(0, count),
                    projected.rows(0, count), gate.rows(0, count), up.rows(0, count));
        }
    }

    /** One worker's arrays. */
    private static final class Scratch {
        final float[] a;
        final float[] b;
        final float[] q;
        final float[] out;
        final Attention.Scratch attention = new Attention.Scratch();

        Scratch(ModelConfig c) {
            int widest = Math.max(Math.max(c.hiddenSize(), c.intermediateSize()), c.kvHeads() * c.headDim());
            a = new float[widest];
            b = new float[widest];
            q = new float[BLOCK * c.group() * c.headDim()];
            out = new float[BLOCK * c.group() * Matmul.padded(c.headDim())];
        }
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
            pass(tokens, from + done, Math.min(maxRows, count - done), model.layers());
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
        if (from < 0 || count < 1 || from + count > lastRows() || count > logits.dim(0)) {
            throw new IllegalArgumentException("logits of rows " + from + " to " + (from + count) + ": the last pass has " + lastRows()
                    + " rows, and one call gives at most " + logits.dim(0));
        }
        Tensor y = logits.rows(0, count);
        model.head().forward(pass.normed.rows(from, from + count), y);
        return y;
    }

    /** {@link #logits(int, int)} of the last token fed. */
    public Tensor lastLogits() {
        return logits(lastRows() - 1, 1);
    }

    private int lastRows() {
        return length == 0 ? 0 : pass.rows;
    }

    /** The residual stream {@code [count, hiddenSize]} after the first {@code layers} layers; feeds as {@link #append}. */
    float[] hiddenAfter(int[] tokens, int count, int layers) {
        pass(tokens, 0, count, model.layers().subList(0, layers));
        int size = count * config.hiddenSize();
        float[] hidden = new float[size];
        for (int i = 0; i < size; i++) {
            hidden[i] = residual[i];
        }
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
     * position 0 on, becomes what the layer leaves behind. What the session held before is forgotten.
     */
    public void throughLayer(int layer, float[] hidden, int rows) {
        checkOpen();
        int size = rows * config.hiddenSize();
        length = 0;
        pass = all.first(rows);
        rotary.prepare(rows);
        System.arraycopy(hidden, 0, residual, 0, size);
        DecoderLayer weights = model.layers().get(layer);
        normalize(weights.attentionNorm(), false);
        decode(weights, caches[layer], model.norm());
        System.arraycopy(residual, 0, hidden, 0, size);
    }

    private void pass(int[] tokens, int from, int rows, List<DecoderLayer> layers) {
        if (pass.rows != rows) {
            pass = rows == all.rows ? all : all.first(rows);
        }
        rotary.prepare(length + rows);
        int hidden = config.hiddenSize();
        for (int r = 0; r < rows; r++) {
            model.embedding().readFloats((long) tokens[from + r] * hidden, residual, r * hidden, hidden);
        }
        normalize(layers.isEmpty() ? model.norm() : layers.getFirst().attentionNorm(), false);
        for (int i = 0; i < layers.size(); i++) {
            decode(layers.get(i), caches[i], i + 1 < layers.size() ? layers.get(i + 1).attentionNorm() : model.norm());
        }
        length += rows;
    }

    /** One layer, from its normed input to its output in the residual stream, which {@code next} normalizes. */
    private void decode(DecoderLayer layer, KvCache[] cache, RmsNorm next) {
        attend(layer, cache);
        normalize(layer.mlpNorm(), true);
        layer.gate().forward(pass.normed, pass.gate);
        layer.up().forward(pass.normed, pass.up);
        swiGlu();
        layer.down().forward(pass.gate, pass.projected);
        normalize(next, true);
    }

    /** Residual += projected where asked; normed = norm(residual). */
    private void normalize(RmsNorm norm, boolean add) {
        int hidden = config.hiddenSize();
        forBlocks((first, last, s) -> {
            for (int r = first; r < last; r++) {
                if (add) {
                    pass.projected.readFloats((long) r * hidden, s.a, 0, hidden);
                    for (int i = 0; i < hidden; i++) {
                        residual[r * hidden + i] += s.a[i];
                    }
                }
                norm.apply(residual, r * hidden, s.a, 0);
                write(s.a, 0, pass.normed, (long) r * hidden, hidden);
            }
        });
    }

    /** projected = o(attention(q, k, v of normed)); keys and values go to the cache. */
    private void attend(DecoderLayer layer, KvCache[] cache) {
        layer.q().forward(pass.normed, pass.q);
        layer.k().forward(pass.normed, pass.k);
        layer.v().forward(pass.normed, pass.v);
        for (KvCache head : cache) {
            head.reserve(length + pass.rows);
        }
        forBlocks((first, last, s) -> store(layer, cache, first, last, s));
        int blocks = Math.ceilDiv(pass.rows, BLOCK);
        long products = 2L * config.heads() * config.headDim() * pass.rows * (length + pass.rows);
        model.workers().run(blocks * cache.length, products >= WORTH_WORKERS, (piece, worker) -> {
            // late rows see most keys: they come first, so that no worker is left with the longest block
            int block = blocks - 1 - piece / cache.length;
            int first = block * BLOCK;
            attend(layer, cache, piece % cache.length, first, Math.min(BLOCK, pass.rows - first), scratch[worker]);
        });
        layer.o().forward(pass.attended, pass.projected);
    }

    private void store(DecoderLayer layer, KvCache[] cache, int first, int last, Scratch s) {
        int headDim = config.headDim();
        int width = cache.length * headDim;
        for (int r = first; r < last; r++) {
            pass.k.readFloats((long) r * width, s.a, 0, width);
            pass.v.readFloats((long) r * width, s.b, 0, width);
            for (int head = 0; head < cache.length; head++) {
                int at = head * headDim;
                if (layer.keyNorm() != null) {
                    layer.keyNorm().apply(s.a, at, s.a, at);
                }
                rotary.rotate(s.a, at, length + r);
                cache[head].put(length + r, s.a, at, s.b, at);
            }
        }
    }

    private void attend(DecoderLayer layer, KvCache[] cache, int kvHead, int first, int rows, Scratch s) {
        int headDim = config.headDim();
        int group = config.group();
        int width = group * headDim;
        long rowWidth = (long) width * cache.length;
        for (int r = 0; r < rows; r++) {
            pass.q.readFloats((first + r) * rowWidth + (long) kvHead * width, s.q, r * width, width);
            for (int at = r * width; at < (r + 1) * width; at += headDim) {
                if (layer.queryNorm() != null) {
                    layer.queryNorm().apply(s.q, at, s.q, at);
                }
                rotary.rotate(s.q, at, length + first + r);
            }
        }
        attention.attend(s.q, rows, group, length + first, layer.window(), cache[kvHead], s.out, s.attention);
        for (int h = 0; h < rows * group; h++) {
            write(s.out, h * cache[kvHead].valueStride, pass.attended,
                    (first + h / group) * rowWidth + (long) kvHead * width + h % group * headDim, headDim);
        }
    }

    private void swiGlu() {
        int width = config.intermediateSize();
        forBlocks((first, last, s) -> {
            for (int r = first; r < last; r++) {
                pass.gate.readFloats((long) r * width, s.a, 0, width);
                pass.up.readFloats((long) r * width, s.b, 0, width);
                ArrayMath.swiGlu(s.a, s.b, s.a, width);
                write(s.a, 0, pass.gate, (long) r * width, width);
            }
        });
    }

    private interface RowBlock {
        void run(int first, int last, Scratch scratch);
    }

    private void forBlocks(RowBlock body) {
        int rows = pass.rows;
        model.workers().run(Math.ceilDiv(rows, BLOCK), true,
                (block, worker) -> body.run(block * BLOCK, Math.min(rows, (block + 1) * BLOCK), scratch[worker]));
    }

    private static void write(float[] from, int at, Tensor to, long index, int count) {
        MemorySegment.copy(from, at, to.data(), FLOAT, index * Float.BYTES, count);
    }

    private void checkOpen() {
        if (!arena.scope().isAlive()) {
            throw new IllegalStateException("this session is closed; open another with LlamaModel.newSession");
        }
    }

    /** Frees the working memory; a second call does nothing. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }
}
