package io.lowbit.quant;

import io.lowbit.format.BulkCodec;
import io.lowbit.format.Codecs;
import io.lowbit.format.Int4;
import io.lowbit.format.Nibbles;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Half;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * INT4 by round to nearest even.
 *
 * <p>Symmetric: scale = absmax / 7.5, zero 8. Asymmetric: lo = min(0, weights), hi = max(0, weights), scale =
 * (hi − lo) / 15, zero = clamp(round(−lo / scale), 0, 15). A group of zeros has lo = −1, hi = 1, as in GPTQ. The scale
 * is rounded to its stored type first; zero point and codes follow from the rounded scale. Where it rounds to 0 it
 * becomes the smallest positive value of that type, so that the group's weights round to the nearest multiple of it
 * instead of dividing by zero; where it overflows the group is refused.
 */
final class Int4Quantizer {
    private static final BulkCodec[] CODECS = new BulkCodec[16];

    static {
        for (int zero = 0; zero < 16; zero++) {
            CODECS[zero] = Codecs.chosen().int4(zero);
        }
    }

    private Int4Quantizer() {}

    static QuantizedMatrix quantize(WeightSource source, Scheme.Int4 scheme, ClipSearch clip, Arena arena) {
        long n = source.n();
        long k = source.k();
        Grouping grouping = scheme.grouping();
        long groups = grouping.scaleCols(k);
        long rowBytes = Math.ceilDiv(k, 2L);
        long zeroBytes = Math.ceilDiv(groups, 2L);
        Tensor codes = Tensor.allocate(arena, DType.U8, n, rowBytes);
        Tensor scales = Tensor.allocate(arena, scheme.scaleType(), grouping.scaleRows(n), groups);
        Tensor zeros = scheme.symmetric() ? null : Tensor.allocate(arena, DType.U8, grouping.scaleRows(n), zeroBytes);
        boolean perTensor = grouping instanceof Grouping.PerTensor;
        Int4Grid whole = perTensor ? wholeGrid(source, scheme, clip) : null;
        if (perTensor) {
            store(whole, scheme, scales, zeros, 0, 0, zeroBytes);
        }
        long size = grouping instanceof Grouping.PerGroup g ? g.size() : k;
        Parallel.run(n, k, 1, source.threads(), (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(scratch, k);
                MemorySegment x = reader.segment();
                MemorySegment row = scratch.allocate(Math.max(1, k), Tensor.ALIGNMENT);
                for (long r = from; r < to; r++) {
                    long offset = reader.load(r * k, k);
                    for (long g = 0, col = 0; g < groups && col < k; g++, col += size) {
                        long count = Math.min(size, k - col);
                        long at = offset + (col << 2);
                        Int4Grid grid = whole;
                        if (grid == null) {
                            grid = groupGrid(reader, at, count, scheme, clip, r, g);
                            store(grid, scheme, scales, zeros, r, g, zeroBytes);
                        }
                        CODECS[grid.zero()].encode(x, at, grid.scale(), row, col, count);
                    }
                    Nibbles.LOW_FIRST.pack(row, 0, codes.data(), r * rowBytes, k, 0);
                }
            }
        });
        return QuantizedMatrix.int4(scheme, n, k, codes, scales, zeros);
    }

    private static Int4Grid groupGrid(WeightSource.Reader reader, long at, long count, Scheme.Int4 scheme, ClipSearch clip, long row, long group) {
        long range = reader.range(at, count);
        try {
            return clip == null ? Int4Grid.of(range, 1.0, scheme) : Int4Grid.search(reader.segment(), at, count, range, scheme, clip);
        } catch (ArithmeticException e) {
            throw tooLarge(scheme, "row " + row + ", group " + group, range);
        }
    }

    private static Int4Grid wholeGrid(WeightSource source, Scheme.Int4 scheme, ClipSearch clip) {
        try {
            return clip == null
                    ? Int4Grid.of(source.range(), 1.0, scheme)
                    : Int4Grid.searchMatrix(source, scheme, clip);
        } catch (ArithmeticException e) {
            throw tooLarge(scheme, "the matrix", source.range());
        }
    }

    private static IllegalArgumentException tooLarge(Scheme.Int4 scheme, String where, long range) {
        return new IllegalArgumentException("the INT4 scale of " + where + " (weights up to " + WeightSource.absMax(range)
                + ") does not fit " + scheme.scaleType() + "; "
                + (scheme.scaleType() == DType.F16 ? "use BF16 or F32 scales" : "scale the weights down"));
    }

    private static void store(Int4Grid grid, Scheme.Int4 scheme, Tensor scales, Tensor zeros, long row, long group, long zeroBytes) {
        scales.setFloat(row * scales.dim(1) + group, grid.scale());
        if (zeros != null) {
            // a row's zero points are written by one thread, low nibble first
            long at = row * zeroBytes + (group >>> 1);
            int old = (group & 1) == 0 ? 0 : zeros.data().get(ValueLayout.JAVA_BYTE, at);
            zeros.data().set(ValueLayout.JAVA_BYTE, at, (byte) (old | grid.zero() << 4 * (int) (group & 1)));
        }
    }
}
