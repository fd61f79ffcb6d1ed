package io.lowbit.cpu;

import io.lowbit.quant.NestedScales;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The reference: keeps the canonical layout, decodes one row at a time and sums it in order of k, in f32. Every vector
 * kernel is tested against the bound that this code meets.
 */
final class ScalarLinear extends CpuLinear {
    /** Rows of W in a chunk of work. */
    private static final long CHUNK_ROWS = 16;
    /** Floats of x converted at a time. */
    private static final long X_FLOATS = 1 << 24;

    private final QuantizedMatrix weights;
    private final float[][] rows;
    private final WorkerPool.Job job = this::chunk;

    // The call that runs.
    private float[] x = new float[0];
    private Tensor y;
    private MemorySegment sums;
    private long firstRow;
    private int m;
    private long chunkRows;
    private boolean adds;

    ScalarLinear(CpuBackend backend, QuantizedMatrix source, float[] bias) {
        super(backend, source, bias);
        weights = copy(source, arena);
        rows = new float[backend.pool().threads()][Math.toIntExact(k)];
    }

    @Override
    long weightBytes() {
        return weights.bytes();
    }

    @Override
    void compute(Tensor input, Tensor output, long total, boolean add) {
        WorkerPool pool = backend.pool();
        int step = (int) Math.max(1, Math.min(total, X_FLOATS / Math.max(1, k)));
        int floats = Math.toIntExact(step * k);
        if (x.length < floats) {
            x = new float[floats];
        }
        boolean direct = pool.anyWorker() == null || output.data().isAccessibleBy(pool.anyWorker());
        if (!direct) {
            backend.scratch().reserve(Scratch.Use.OUTPUT, 1, 4L * step * n);
            sums = backend.scratch().get(Scratch.Use.OUTPUT, 0);
        }
        chunkRows = Math.max(CHUNK_ROWS, Math.ceilDiv(n, (long) WorkerPool.MAX_CHUNKS));
        y = direct ? output : null;
        adds = add;
        for (firstRow = 0; firstRow < total; firstRow += step) {
            m = (int) Math.min(step, total - firstRow);
            input.readFloats(firstRow * k, x, 0, Math.toIntExact(m * k));
            pool.run(job, (int) Math.ceilDiv(n, chunkRows));
            if (!direct) {
                Output.convert(sums, n, m, output, firstRow, add);
            }
        }
        y = null;
        sums = null;
    }

    private void chunk(int chunk, int slot) {
        float[] w = rows[slot];
        long end = Math.min(n, (chunk + 1) * chunkRows);
        for (long row = chunk * chunkRows; row < end; row++) {
            RowDecoder.decode(weights, row, w);
            for (int i = 0; i < m; i++) {
                float value = dot(x, Math.toIntExact(i * k), w) + (bias == null ? 0f : bias[(int) row]);
                if (y != null) {
                    long to = (firstRow + i) * n + row;
                    y.setFloat(to, adds ? y.getFloat(to) + value : value);
                } else {
                    sums.set(Output.FLOAT, (i * n + row) << 2, value);
                }
            }
        }
    }

    private static float dot(float[] x, int from, float[] w) {
        float sum = 0f;
        for (int i = 0; i < w.length; i++) {
            sum += x[from + i] * w[i];
        }
        return sum;
    }

    /** All parts in {@code arena}; without act-order, which the caller has taken out. */
    static QuantizedMatrix copy(QuantizedMatrix q, Arena arena) {
        Tensor codes = copy(q.codes(), arena);
        return switch (q.scheme()) {
            case Scheme.Dense _ -> QuantizedMatrix.dense(codes);
            case Scheme.Int4 s -> QuantizedMatrix.int4(s, q.n(), q.k(), codes, copy(q.scales(), arena), copy(q.zeros(), arena));
            case Scheme.Bnb4 s when s.doubleQuant() -> QuantizedMatrix.bnb4(s, q.n(), q.k(), codes, new NestedScales(
                    copy(q.nested().codes(), arena), copy(q.nested().absmax(), arena), copy(q.nested().map(), arena), q.nested().offset()));
            case Scheme.Bnb4 s -> QuantizedMatrix.bnb4(s, q.n(), q.k(), codes, copy(q.scales(), arena));
            case Scheme.Mxfp4 _ -> QuantizedMatrix.mxfp4(q.n(), q.k(), codes, copy(q.scales(), arena));
            case Scheme.Mxfp8 s -> QuantizedMatrix.mxfp8(s, q.n(), q.k(), codes, copy(q.scales(), arena));
            case Scheme.Nvfp4 _ -> Float.isNaN(q.tensorDivisor())
                    ? QuantizedMatrix.nvfp4(q.n(), q.k(), codes, copy(q.scales(), arena), q.tensorScale())
                    : QuantizedMatrix.nvfp4Divided(q.n(), q.k(), codes, copy(q.scales(), arena), q.tensorDivisor());
            case Scheme.Int8 _ -> QuantizedMatrix.int8(q.n(), q.k(), codes, copy(q.scales(), arena));
            case Scheme.Ggml s -> QuantizedMatrix.ggml(s, q.n(), q.k(), codes);
            case Scheme.Fp8 s -> QuantizedMatrix.fp8(s, q.n(), q.k(), codes, copy(q.scales(), arena));
        };
    }

    private static Tensor copy(Tensor t, Arena arena) {
        return t == null ? null
                : new Tensor(t.dtype(), t.shape(), arena.allocate(t.data().byteSize(), ALIGNMENT).copyFrom(t.data()));
    }
}
