package io.lowbit.quant;

import io.lowbit.format.BulkCodec;
import io.lowbit.format.Codecs;
import io.lowbit.format.E8M0;
import io.lowbit.format.NanCode;
import io.lowbit.format.Nibbles;
import io.lowbit.format.Overflow;
import io.lowbit.format.Scaling;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Rows of a quantized matrix as F32: {@link QuantizedMatrix#value} in bulk. One for each worker. */
final class RowDecoder {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final QuantizedMatrix matrix;
    private final long k;
    private final MemorySegment codes;
    /** Codec of the scheme; of zero point z for INT4 at index z. */
    private final BulkCodec[] codecs;

    /** @param arena where a row of unpacked codes is kept */
    RowDecoder(QuantizedMatrix matrix, Arena arena) {
        this.matrix = matrix;
        this.k = matrix.k();
        this.codes = arena.allocate(Math.max(1, k), Tensor.ALIGNMENT);
        this.codecs = codecs(matrix.scheme());
    }

    private static BulkCodec[] codecs(Scheme scheme) {
        Codecs all = Codecs.chosen();
        return switch (scheme) {
            case Scheme.Dense _, Scheme.Int8 _, Scheme.Ggml _ -> new BulkCodec[0];
            case Scheme.Int4 _ -> {
                BulkCodec[] byZero = new BulkCodec[16];
                for (int zero = 0; zero < 16; zero++) {
                    byZero[zero] = all.int4(zero);
                }
                yield byZero;
            }
            case Scheme.Bnb4 s -> new BulkCodec[] {s.codebook() == Scheme.Codebook.NF4 ? all.nf4() : all.bnbFp4()};
            case Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> new BulkCodec[] {all.e2m1(NanCode.CANONICAL)};
            case Scheme.Fp8 s -> new BulkCodec[] {float8(all, s.format())};
            case Scheme.Mxfp8 s -> new BulkCodec[] {float8(all, s.format())};
        };
    }

    private static BulkCodec float8(Codecs all, Scheme.Fp8Format format) {
        return all.float8(format.float8(), Overflow.SATURATE, NanCode.CANONICAL, Scaling.DIVIDE);
    }

    /** Row {@code row} as {@code k} floats at {@code out}. */
    void decode(long row, MemorySegment out, long outOffset) {
        switch (matrix.scheme()) {
            case Scheme.Dense s -> load(matrix.codes().data(), row * k, s.dtype(), out, outOffset, k);
            case Scheme.Ggml s -> {
                int step = s.block().elements();
                for (long col = 0, at = row * matrix.codes().dim(1); col < k; col += step, at += s.block().bytes()) {
                    s.block().decode(matrix.codes().data(), at, out, outOffset + 4 * col, 4);
                }
            }
            case Scheme.Int8 _ -> {
                float scale = matrix.scale(row, 0);
                for (long col = 0; col < k; col++) {
                    out.set(FLOAT, outOffset + 4 * col, matrix.code(row, col) * scale);
                }
            }
            case Scheme.Int4 _ when matrix.groups() != null -> {
                for (long col = 0; col < k; col++) {
                    out.set(FLOAT, outOffset + 4 * col, matrix.value(row, col));
                }
            }
            case Scheme.Int4 s -> {
                unpackRow(row);
                long size = s.grouping() instanceof Grouping.PerGroup g ? g.size() : Math.max(1, k);
                for (long col = 0; col < k; col += size) {
                    codecs[matrix.zero(row, col)].decode(codes, col, matrix.scale(row, col), out, outOffset + 4 * col, Math.min(size, k - col));
                }
            }
            case Scheme.Bnb4 s -> {
                long first = row * k;
                Nibbles.HIGH_FIRST.unpack(matrix.codes().data(), 0, first, codes, 0, k);
                for (long col = 0; col < k; ) {
                    long count = Math.min(s.blockSize() - (first + col) % s.blockSize(), k - col);
                    codecs[0].decode(codes, col, matrix.scale(row, col), out, outOffset + 4 * col, count);
                    col += count;
                }
            }
            case Scheme.Mxfp4 _ -> {
                unpackRow(row);
                Tensor scales = matrix.scales();
                for (long col = 0, b = row * scales.dim(1); col < k; col += Scheme.Mxfp4.BLOCK, b++) {
                    codecs[0].decode(codes, col, E8M0.decode(scales.getByte(b)), out, outOffset + 4 * col, Math.min(Scheme.Mxfp4.BLOCK, k - col));
                }
            }
            case Scheme.Mxfp8 _ -> {
                Tensor scales = matrix.scales();
                for (long col = 0, b = row * scales.dim(1); col < k; col += Scheme.Mxfp8.BLOCK, b++) {
                    codecs[0].decode(matrix.codes().data(), row * k + col, E8M0.decode(scales.getByte(b)), out, outOffset + 4 * col,
                            Math.min(Scheme.Mxfp8.BLOCK, k - col));
                }
            }
            case Scheme.Nvfp4 _ -> {
                unpackRow(row);
                Tensor scales = matrix.scales();
                for (long col = 0, b = row * scales.dim(1); col < k; col += Scheme.Nvfp4.BLOCK, b++) {
                    float scale = matrix.nvfp4Factor(scales.getByte(b));
                    codecs[0].decode(codes, col, scale, out, outOffset + 4 * col, Math.min(Scheme.Nvfp4.BLOCK, k - col));
                }
            }
            case Scheme.Fp8 s -> {
                long size = s.grouping() instanceof Grouping.PerBlock b ? b.cols() : Math.max(1, k);
                for (long col = 0; col < k; col += size) {
                    codecs[0].decode(matrix.codes().data(), row * k + col, matrix.scale(row, col), out, outOffset + 4 * col, Math.min(size, k - col));
                }
            }
        }
    }

    private void unpackRow(long row) {
        Nibbles.LOW_FIRST.unpack(matrix.codes().data(), row * Math.ceilDiv(k, 2L), 0, codes, 0, k);
    }

    /** {@code count} elements of {@code dtype} from row-major index {@code from}, as F32. */
    static void load(MemorySegment source, long from, DType dtype, MemorySegment out, long outOffset, long count) {
        switch (dtype) {
            case F32 -> MemorySegment.copy(source, 4 * from, out, outOffset, 4 * count);
            case F16 -> Codecs.chosen().widenF16(source, 2 * from, out, outOffset, count);
            case BF16 -> Codecs.chosen().widenBf16(source, 2 * from, out, outOffset, count);
            default -> throw new IllegalArgumentException("expected F32, F16 or BF16, got " + dtype);
        }
    }

    /** {@code count} floats rounded to {@code dtype}. */
    static void store(MemorySegment x, long offset, DType dtype, MemorySegment out, long outOffset, long count) {
        switch (dtype) {
            case F32 -> MemorySegment.copy(x, offset, out, outOffset, 4 * count);
            case F16 -> Codecs.chosen().narrowF16(x, offset, out, outOffset, count);
            case BF16 -> Codecs.chosen().narrowBf16(x, offset, out, outOffset, count);
            default -> throw new IllegalArgumentException("expected F32, F16 or BF16, got " + dtype);
        }
    }
}
