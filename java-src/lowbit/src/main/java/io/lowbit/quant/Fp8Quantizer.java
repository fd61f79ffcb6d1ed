package io.lowbit.quant;

import io.lowbit.format.BulkCodec;
import io.lowbit.format.Codecs;
import io.lowbit.format.Float8;
import io.lowbit.format.NanCode;
import io.lowbit.format.Overflow;
import io.lowbit.format.Scaling;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;

/**
 * FP8 with the largest magnitude of a tensor, row or block at the format's largest value, 448 or 57344.
 *
 * <p>Per tensor and channel: scale = absmax / 448, codes of x / scale, as compressed-tensors. Per block: scale =
 * absmax · (1 / 448), codes of x · (1 / scale), as DeepGEMM on a GPU, but without its floor of 1e-4 under absmax, which
 * loses blocks of small weights. A part of zeros has scale 2^-23, as in compressed-tensors: readers take a scale of
 * 0 for damage. No scale is below 2^-126.
 */
final class Fp8Quantizer {
    /** Scale of a part of zeros. */
    private static final float ZERO_SCALE = 0x1p-23f;

    private Fp8Quantizer() {}

    static QuantizedMatrix quantize(WeightSource source, Scheme.Fp8 scheme, Overflow overflow, Arena arena) {
        long n = source.n();
        long k = source.k();
        Float8 format = scheme.format().float8();
        Grouping grouping = scheme.grouping();
        Tensor codes = Tensor.allocate(arena, scheme.format().dtype(), n, k);
        Tensor scales = Tensor.allocate(arena, DType.F32, grouping.scaleRows(n), grouping.scaleCols(k));
        if (grouping instanceof Grouping.PerTensor) {
            scales.setFloat(0, scale(source.range(), format, Scaling.DIVIDE));
        }
        int rows = grouping instanceof Grouping.PerBlock b ? b.rows() : 1;
        long cols = grouping instanceof Grouping.PerBlock b ? b.cols() : Math.max(1, k);
        Scaling scaling = grouping instanceof Grouping.PerBlock ? Scaling.RECIPROCAL : Scaling.DIVIDE;
        BulkCodec codec = Codecs.chosen().float8(format, overflow, NanCode.CANONICAL, scaling);
        int blocks = Math.toIntExact(Math.ceilDiv(k, cols));
        Parallel.run(n, k, rows, source.threads(), (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(scratch, k);
                long[] ranges = new long[blocks];
                for (long band = from; band < to; band += rows) {
                    long end = Math.min(to, band + rows);
                    if (!(grouping instanceof Grouping.PerTensor)) {
                        Arrays.fill(ranges, 0);
                        for (long r = band; r < end; r++) {
                            long offset = reader.load(r * k, k);
                            for (int b = 0; b < blocks; b++) {
                                long col = b * cols;
                                long range = reader.range(offset + 4 * col, Math.min(cols, k - col));
                                ranges[b] = WeightSource.union(ranges[b], range);
                            }
                        }
                        for (int b = 0; b < blocks; b++) {
                            scales.setFloat(grouping.scaleIndex(band, b * cols, k), scale(ranges[b], format, scaling));
                        }
                    }
                    for (long r = band; r < end; r++) {
                        long offset = reader.load(r * k, k);
                        for (int b = 0; b < blocks; b++) {
                            long col = b * cols;
                            float scale = scales.getFloat(grouping.scaleIndex(r, col, k));
                            codec.encode(reader.segment(), offset + 4 * col, scale, codes.data(), r * k + col, Math.min(cols, k - col));
                        }
                    }
                }
            }
        });
        return QuantizedMatrix.fp8(scheme, n, k, codes, scales);
    }

    private static float scale(long range, Float8 format, Scaling scaling) {
        if (range == 0) {
            return ZERO_SCALE;
        }
        float absMax = WeightSource.absMax(range);
        float scale = scaling == Scaling.DIVIDE ? absMax / format.max() : absMax * (1f / format.max());
        return Math.max(scale, Float.MIN_NORMAL);
    }
}
