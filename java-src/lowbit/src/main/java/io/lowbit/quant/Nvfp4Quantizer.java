package io.lowbit.quant;

import io.lowbit.format.BulkCodec;
import io.lowbit.format.Codecs;
import io.lowbit.format.Float8;
import io.lowbit.format.NanCode;
import io.lowbit.format.Nibbles;
import io.lowbit.format.Nvfp4Scale;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** NVFP4 in two levels, as torchao: one f32 scale for the matrix, an E4M3 scale for each 16 weights of a row. */
final class Nvfp4Quantizer {
    private Nvfp4Quantizer() {}

    static QuantizedMatrix quantize(WeightSource source, Arena arena) {
        return quantize(source, Nvfp4Scale.tensorScale(WeightSource.absMax(source.range())), arena);
    }

    /** With a given scale of the matrix; 1 is torchao's single level. */
    static QuantizedMatrix quantize(WeightSource source, float tensorScale, Arena arena) {
        long n = source.n();
        long k = source.k();
        long rowBytes = Math.ceilDiv(k, 2L);
        long blocks = Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK);
        BulkCodec codec = Codecs.chosen().e2m1(NanCode.CANONICAL);
        Tensor codes = Tensor.allocate(arena, DType.U8, n, rowBytes);
        Tensor scales = Tensor.allocate(arena, DType.F8_E4M3, n, blocks);
        Parallel.run(n, k, 1, source.threads(), (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(scratch, k);
                MemorySegment row = scratch.allocate(k, Tensor.ALIGNMENT);
                for (long r = from; r < to; r++) {
                    long offset = reader.load(r * k, k);
                    for (long b = 0; b < blocks; b++) {
                        long col = b * Scheme.Nvfp4.BLOCK;
                        long count = Math.min(Scheme.Nvfp4.BLOCK, k - col);
                        long at = offset + 4 * col;
                        int scale = Nvfp4Scale.blockScale(WeightSource.absMax(reader.range(at, count)), tensorScale);
                        scales.data().set(ValueLayout.JAVA_BYTE, r * blocks + b, (byte) scale);
                        codec.encode(reader.segment(), at, tensorScale * Float8.E4M3.decode(scale), row, col, count);
                    }
                    Nibbles.LOW_FIRST.pack(row, 0, codes.data(), r * rowBytes, k, 0);
                }
            }
        });
        return QuantizedMatrix.nvfp4(n, k, codes, scales, tensorScale);
    }
}
