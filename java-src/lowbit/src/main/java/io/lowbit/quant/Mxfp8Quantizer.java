package io.lowbit.quant;

import io.lowbit.format.BulkCodec;
import io.lowbit.format.Codecs;
import io.lowbit.format.E8M0;
import io.lowbit.format.MxScaleRule;
import io.lowbit.format.NanCode;
import io.lowbit.format.Overflow;
import io.lowbit.format.Scaling;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;

/**
 * OCP MXFP8: a power-of-two scale for each 32 weights of a row, E4M3 or E5M2 codes of x / scale.
 *
 * <p>The scale follows from the block's finite weights, as FP8's does. The floor and even rules put the largest of a block up
 * to 2^(emax+1) · scale, 512 or 65536, beyond the formats' 448 and 57344: such weights follow {@code overflow}.
 */
final class Mxfp8Quantizer {
    private Mxfp8Quantizer() {}

    static QuantizedMatrix quantize(WeightSource source, Scheme.Mxfp8 scheme, MxScaleRule rule, Overflow overflow, Arena arena) {
        long n = source.n();
        long k = source.k();
        long blocks = Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK);
        BulkCodec codec = Codecs.chosen().float8(scheme.format().float8(), overflow, NanCode.CANONICAL, Scaling.DIVIDE);
        Tensor codes = Tensor.allocate(arena, scheme.format().dtype(), n, k);
        Tensor scales = Tensor.allocate(arena, DType.F8_E8M0, n, blocks);
        Parallel.run(n, k, 1, source.threads(), (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(scratch, k);
                for (long r = from; r < to; r++) {
                    long offset = reader.load(r * k, k);
                    for (long b = 0; b < blocks; b++) {
                        long col = b * Scheme.Mxfp8.BLOCK;
                        long count = Math.min(Scheme.Mxfp8.BLOCK, k - col);
                        long at = offset + 4 * col;
                        int scale = scheme.element().scaleCode(WeightSource.absMax(reader.range(at, count)), rule);
                        scales.data().set(ValueLayout.JAVA_BYTE, r * blocks + b, (byte) scale);
                        codec.encode(reader.segment(), at, E8M0.decode(scale), codes.data(), r * k + col, count);
                    }
                }
            }
        });
        return QuantizedMatrix.mxfp8(scheme, n, k, codes, scales);
    }
}
