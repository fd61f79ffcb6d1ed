package io.lowbit.llm;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.cuda.kernels.Kernels;
import io.lowbit.tensor.DType;

/**
 * Launches the kernels of {@code decoder.cu}. Pointers are device addresses; activations are BF16 and row-major, the residual
 * stream, norms and rotation tables F32. {@code position} points to the I32 position of the first row.
 */
final class DecoderKernels {
    /** Widest head. */
    static final int MAX_HEAD_DIM = 256;

    private static final String FILE = "decoder";
    private static final int THREADS = 256;
    private static final int ROTATE_THREADS = 128;
    private static final int ONE_THREADS = 256;
    /** Query rows that a warp attends for at once. */
    private static final int WARP_ROWS = 4;

    private final Function embed;
    private final Function norm;
    private final Function rotate;
    private final Function attendOne;
    private final Function attendMany;
    private final Function swiGlu;
    /** Threads of an {@code attend_many} block. */
    private final int manyThreads;

    /** @param headDim which attention kernels: up to {@link #MAX_HEAD_DIM} */
    DecoderKernels(Kernels kernels, int headDim) {
        int dims = headDim <= 64 ? 64 : headDim <= 128 ? 128 : MAX_HEAD_DIM;
        embed = kernels.function(FILE, "embed_f32");
        norm = kernels.function(FILE, "norm_bf16");
        rotate = kernels.function(FILE, "rotate_bf16");
        attendOne = kernels.function(FILE, "attend_one_bf16_" + dims);
        attendMany = kernels.function(FILE, "attend_many_bf16_" + dims);
        swiGlu = kernels.function(FILE, "swiglu_bf16");
        manyThreads = dims == MAX_HEAD_DIM ? 64 : 128;
    }

    /** Elements from one position to the next in a key/value cache: the head padded so that 16 bytes are read at once. */
    static int cacheStride(int headDim) {
        return Math.ceilDiv(headDim, 8) * 8;
    }

    /**
     * The heads of a pass, and the cache of one layer.
     *
     * @param keys BF16 {@code [kvHeads, capacity, stride]}, zero beyond headDim
     * @param values the same
     * @param window how many positions a row sees, its own included
     */
    record Heads(int heads, int kvHeads, int headDim, long keys, long values, long capacity, int window) {}

    /** residual[row] = table[tokens[row]]. */
    void embed(Stream stream, int rows, long tokens, long table, DType type, long residual, int hidden) {
        stream.arguments().int64(tokens).int64(table).int32(ElementTypes.of(type)).int64(residual).int32(hidden);
        stream.launch(embed, rows, 1, THREADS, 0);
    }

    /** normed = RMSNorm(residual) · weight. */
    void norm(Stream stream, int rows, long residual, long weight, double epsilon, long normed, int hidden) {
        stream.arguments().int64(residual).int64(weight).int32(bits(epsilon)).int64(normed).int32(hidden);
        stream.launch(norm, rows, 1, THREADS, 0);
    }

    /** Norms (weight 0: not) and rotates q in place and k into the cache; v goes into the cache as it is. */
    void rotate(Stream stream, int rows, long q, long k, long v, long queryNorm, long keyNorm, double epsilon, long cosines, long sines,
            long position, Heads h) {
        stream.arguments().int64(q).int64(k).int64(v).int64(queryNorm).int64(keyNorm).int32(bits(epsilon)).int64(cosines).int64(sines)
                .int64(h.keys).int64(h.values).int64(position).int32(h.heads).int32(h.kvHeads).int32(h.headDim).int32(cacheStride(h.headDim))
                .int64(h.capacity);
        stream.launch(rotate, rows, h.heads + 2L * h.kvHeads, ROTATE_THREADS, 0);
    }

    /** out = softmax(q·Kᵀ/√headDim)·V for each row over the positions that it sees. */
    void attend(Stream stream, int rows, long q, long out, long position, Heads h) {
        int group = h.heads / h.kvHeads;
        var arguments = stream.arguments().int64(q).int64(h.keys).int64(h.values).int64(out).int64(position).int32(h.kvHeads).int32(group)
                .int32(h.headDim).int32(cacheStride(h.headDim)).int64(h.capacity).int32(h.window).int32(bits(1 / Math.sqrt(h.headDim)));
        if (rows == 1) {
            stream.launch(attendOne, h.kvHeads, Math.ceilDiv(group, WARP_ROWS), ONE_THREADS, 0);
        } else {
            arguments.int32(rows);
            long warps = Math.ceilDiv((long) rows * group, WARP_ROWS);
            stream.launch(attendMany, Math.ceilDiv(warps, manyThreads / 32), h.kvHeads, manyThreads, 0);
        }
    }

    /** gate = silu(gate) · up, {@code n} elements. */
    void swiGlu(Stream stream, long gate, long up, long n) {
        stream.arguments().int64(gate).int64(up).int64(n);
        stream.launch(swiGlu, Math.ceilDiv(n, (long) THREADS), 1, THREADS, 0);
    }

    private static int bits(double value) {
        return Float.floatToRawIntBits((float) value);
    }
}
