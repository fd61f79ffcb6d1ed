package io.lowbit.cpu;

import io.lowbit.format.BnbFp4;
import io.lowbit.format.E2M1;
import io.lowbit.format.Float8;
import io.lowbit.format.Nf4;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import java.lang.foreign.MemorySegment;

/** Decodes one row of a matrix to the f32 values that {@link QuantizedMatrix#value} defines, a run of equal scale at a time. */
final class RowDecoder {
    private RowDecoder() {}

    /** @param out f32 [K] */
    static void decode(QuantizedMatrix q, long row, float[] out) {
        int k = out.length;
        if (q.scheme() instanceof Scheme.Dense) {
            q.codes().readFloats(row * k, out, 0, k);
            return;
        }
        if (q.scheme() instanceof Scheme.Ggml s) {
            MemorySegment to = MemorySegment.ofArray(out);
            for (int col = 0; col < k; col += s.block().elements()) {
                s.block().decode(q.codes().data(), row * q.codes().dim(1) + (long) col / s.block().elements() * s.block().bytes(), to, 4L * col, 4);
            }
            return;
        }
        for (int from = 0; from < k; ) {
            int to = (int) Math.min(k, runEnd(q, row, from));
            float scale = q.scale(row, from);
            switch (q.scheme()) {
                case Scheme.Dense _, Scheme.Ggml _ -> throw new AssertionError("handled above");
                case Scheme.Int8 _ -> {
                    for (int i = from; i < to; i++) {
                        out[i] = q.code(row, i) * scale;
                    }
                }
                case Scheme.Int4 _ -> {
                    int zero = q.zero(row, from);
                    for (int i = from; i < to; i++) {
                        out[i] = (q.code(row, i) - zero) * scale;
                    }
                }
                case Scheme.Bnb4 s when s.codebook() == Scheme.Codebook.NF4 -> {
                    for (int i = from; i < to; i++) {
                        out[i] = Nf4.decode(q.code(row, i)) * scale;
                    }
                }
                case Scheme.Bnb4 _ -> {
                    for (int i = from; i < to; i++) {
                        out[i] = BnbFp4.decode(q.code(row, i)) * scale;
                    }
                }
                case Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> {
                    for (int i = from; i < to; i++) {
                        out[i] = E2M1.decode(q.code(row, i)) * scale;
                    }
                }
                case Scheme.Fp8 s -> float8(q, s.format().float8(), row, from, to, scale, out);
                case Scheme.Mxfp8 s -> float8(q, s.format().float8(), row, from, to, scale, out);
            }
            from = to;
        }
    }

    private static void float8(QuantizedMatrix q, Float8 format, long row, int from, int to, float scale, float[] out) {
        for (int i = from; i < to; i++) {
            out[i] = format.decode(q.code(row, i)) * scale;
        }
    }

    /** First column after {@code from} that may have another scale than it. */
    private static long runEnd(QuantizedMatrix q, long row, long from) {
        return switch (q.scheme()) {
            case Scheme.Dense _, Scheme.Int8 _, Scheme.Ggml _ -> q.k();
            case Scheme.Int4 s -> runEnd(s.grouping(), from, q.k());
            case Scheme.Fp8 s -> runEnd(s.grouping(), from, q.k());
            case Scheme.Bnb4 s -> from + s.blockSize() - (row * q.k() + from) % s.blockSize();
            case Scheme.Mxfp4 _ -> (from / Scheme.Mxfp4.BLOCK + 1) * Scheme.Mxfp4.BLOCK;
            case Scheme.Mxfp8 _ -> (from / Scheme.Mxfp8.BLOCK + 1) * Scheme.Mxfp8.BLOCK;
            case Scheme.Nvfp4 _ -> (from / Scheme.Nvfp4.BLOCK + 1) * Scheme.Nvfp4.BLOCK;
        };
    }

    private static long runEnd(Grouping grouping, long from, long k) {
        return switch (grouping) {
            case Grouping.PerTensor _, Grouping.PerChannel _ -> k;
            case Grouping.PerGroup g -> (from / g.size() + 1) * g.size();
            case Grouping.PerBlock b -> (from / b.cols() + 1) * b.cols();
        };
    }
}
