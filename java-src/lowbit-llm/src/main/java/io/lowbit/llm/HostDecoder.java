package io.lowbit.llm;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Decodes in host memory, in F32. Linear layers read and write off-heap tensors; what lies between them (norms, rotation,
 * attention, SwiGLU) works row by row in small arrays, split over the model's workers.
 */
final class HostDecoder implements Decoder {
    /** Rows that a worker takes at a time. */
    private static final int BLOCK = 8;
    /** Multiply-adds that take as long as waking the workers (some 50 microseconds). */
    private static final long WORTH_WORKERS = 1 << 20;

    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final ModelParts model;
    private final ModelConfig config;
    private final Workers workers;
    private final Arena arena = Arena.ofShared();
    private final Activations all;
    private final Tensor logits;
    private final float[] residual;
    private final RotaryEmbedding rotary;
    private final Attention attention;
    private final KvCache[][] caches;
    private final Scratch[] scratch;
    private Activations pass;
    /** Positions before those of the pass. */
    private int start;

    HostDecoder(ModelParts model, Workers workers, int maxRows) {
        this.model = model;
        this.config = model.config();
        this.workers = workers;
        this.all = Activations.allocate(arena, config, maxRows);
        this.pass = all;
        this.logits = Tensor.allocate(arena, DType.F32, Math.min(maxRows, Session.MAX_LOGIT_ROWS), config.vocabSize());
        this.residual = new float[Math.multiplyExact(maxRows, config.hiddenSize())];
        this.rotary = new RotaryEmbedding(config.headDim(), config.ropeTheta(), config.ropeScaling());
        this.attention = new Attention(Matmul.best(), config.headDim());
        this.caches = new KvCache[config.layers()][config.kvHeads()];
        for (KvCache[] layer : caches) {
            for (int head = 0; head < layer.length; head++) {
                layer[head] = new KvCache(config.headDim());
            }
        }
        this.scratch = new Scratch[workers.count()];
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

    @Override
    public void pass(int[] tokens, int from, int rows, int position, int layers) {
        begin(rows, position);
        int hidden = config.hiddenSize();
        for (int r = 0; r < rows; r++) {
            model.embedding().readFloats((long) tokens[from + r] * hidden, residual, r * hidden, hidden);
        }
        normalize(model.normAfter(0), false);
        for (int i = 0; i < layers; i++) {
            decode(i);
        }
    }

    @Override
    public void throughLayer(int layer, float[] hidden, int rows) {
        begin(rows, 0);
        int size = rows * config.hiddenSize();
        System.arraycopy(hidden, 0, residual, 0, size);
        normalize(model.normAfter(layer), false);
        decode(layer);
        System.arraycopy(residual, 0, hidden, 0, size);
    }

    @Override
    public Tensor logits(int from, int count) {
        Tensor y = logits.rows(0, count);
        model.head().forward(pass.normed.rows(from, from + count), y);
        return y;
    }

    @Override
    public void residual(float[] to) {
        System.arraycopy(residual, 0, to, 0, to.length);
    }

    private void begin(int rows, int position) {
        if (pass.rows != rows) {
            pass = rows == all.rows ? all : all.first(rows);
        }
        start = position;
        rotary.prepare(start + rows);
    }

    /** One layer, from its normed input to its output in the residual stream and the norm of that. */
    private void decode(int index) {
        DecoderLayer layer = model.layers().get(index);
        attend(layer, caches[index]);
        normalize(layer.mlpNorm(), true);
        layer.gate().forward(pass.normed, pass.gate);
        layer.up().forward(pass.normed, pass.up);
        swiGlu();
        layer.down().forward(pass.gate, pass.projected);
        normalize(model.normAfter(index + 1), true);
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
            head.reserve(start + pass.rows);
        }
        forBlocks((first, last, s) -> store(layer, cache, first, last, s));
        int blocks = Math.ceilDiv(pass.rows, BLOCK);
        long products = 2L * config.heads() * config.headDim() * pass.rows * (start + pass.rows);
        workers.run(blocks * cache.length, products >= WORTH_WORKERS, (piece, worker) -> {
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
                rotary.rotate(s.a, at, start + r);
                cache[head].put(start + r, s.a, at, s.b, at);
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
                rotary.rotate(s.q, at, start + first + r);
            }
        }
        attention.attend(s.q, rows, group, start + first, layer.window(), cache[kvHead], s.out, s.attention);
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
        workers.run(Math.ceilDiv(rows, BLOCK), true,
                (block, worker) -> body.run(block * BLOCK, Math.min(rows, (block + 1) * BLOCK), scratch[worker]));
    }

    private static void write(float[] from, int at, Tensor to, long index, int count) {
        MemorySegment.copy(from, at, to.data(), FLOAT, index * Float.BYTES, count);
    }

    @Override
    public void close() {
        arena.close();
    }
}
