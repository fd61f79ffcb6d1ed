package io.lowbit.quant;

import io.lowbit.format.BulkCodec;
import io.lowbit.format.Codecs;
import io.lowbit.format.E8M0;
import io.lowbit.format.MxElement;
import io.lowbit.format.MxScaleRule;
import io.lowbit.format.NanCode;
import io.lowbit.format.Nibbles;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** OCP MXFP4: a power-of-two scale for each 32 weights of a row, E2M1 codes of x / scale. */
final class Mxfp4Quantizer {
    private Mxfp4Quantizer() {}

    static QuantizedMatrix quantize(WeightSource source, MxScaleRule rule, Arena arena) {
        long n = source.n();
        long k = source.k();
        long rowBytes = Math.ceilDiv(k, 2L);
        long blocks = Math.ceilDiv(k, (long) Scheme.Mxfp4.BLOCK);
        BulkCodec codec = Codecs.chosen().e2m1(NanCode.CANONICAL);
        Tensor codes = Tensor.allocate(arena, DType.U8, n, rowBytes);
        Tensor scales = Tensor.allocate(arena, DType.F8_E8M0, n, blocks);
        Parallel.run(n, k, 1, source.threads(), (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(scratch, k);
                MemorySegment row = scratch.allocate(k, Tensor.ALIGNMENT);
                for (long r = from; r < to; r++) {
                    long offset = reader.load(r * k, k);
                    for (long b = 0; b < blocks; b++) {
                        long col = b * Scheme.Mxfp4.BLOCK;
                        long count = Math.min(Scheme.Mxfp4.BLOCK, k - col);
                        long at = offset + 4 * col;
                        int scale = MxElement.E2M1.scaleCode(WeightSource.absMax(reader.range(at, count)), rule);
                        scales.data().set(ValueLayout.JAVA_BYTE, r * blocks + b, (byte) scale);
                        codec.encode(reader.segment(), at, E8M0.decode(scale), row, col, count);
                    }
                    Nibbles.LOW_FIRST.pack(row, 0, codes.data(), r * rowBytes, k, 0);
                }
            }
        });
        return QuantizedMatrix.mxfp4(n, k, codes, scales);
    }
}
