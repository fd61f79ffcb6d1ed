package io.lowbit.quant;

import io.lowbit.format.BnbFp4;
import io.lowbit.format.BulkCodec;
import io.lowbit.format.Codecs;
import io.lowbit.format.DynamicMap;
import io.lowbit.format.Nf4;
import io.lowbit.format.Nibbles;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * bitsandbytes' 4-bit quantizer in IEEE arithmetic: absmax of each block, codes of x · (1 / absmax). (bitsandbytes'
 * CUDA build divides approximately, so FP4 codes there may be a neighbour's within 2 ulp of a threshold.)
 *
 * <p>A block whose absmax is below 2^-126, where its reciprocal would overflow, counts as all zeros: absmax 0.
 */
final class Bnb4Quantizer {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

    private Bnb4Quantizer() {}

    static QuantizedMatrix quantize(WeightSource source, Scheme.Bnb4 scheme, ZeroBlock zeroBlock, Arena arena) {
        long n = source.n();
        long k = source.k();
        long total = Math.multiplyExact(n, k);
        int size = scheme.blockSize();
        long blocks = Math.ceilDiv(total, (long) size);
        boolean nf4 = scheme.codebook() == Scheme.Codebook.NF4;
        BulkCodec codec = nf4 ? Codecs.chosen().nf4() : Codecs.chosen().bnbFp4();
        int zero = nf4 ? Nf4.ZERO : BnbFp4.ZERO;
        byte zeroCode = (byte) (zeroBlock == ZeroBlock.CUDA ? 0 : zero);
        Tensor codes = Tensor.allocate(arena, DType.U8, Math.ceilDiv(total, 2L));
        Tensor absmax = Tensor.allocate(arena, DType.F32, blocks);
        Parallel.run(blocks, size, 1, source.threads(), (from, to) -> {
            long first = from * size;
            long count = Math.min(total, to * size) - first;
            try (Arena scratch = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(scratch, count);
                MemorySegment x = reader.segment();
                MemorySegment chunk = scratch.allocate(count, Tensor.ALIGNMENT);
                long offset = reader.load(first, count);
                for (long b = from; b < to; b++) {
                    long at = (b - from) * size;
                    long length = Math.min(size, count - at);
                    float max = WeightSource.absMax(reader.range(offset + 4 * at, length));
                    if (max < Float.MIN_NORMAL) {
                        chunk.asSlice(at, length).fill(zeroCode);
                        continue;
                    }
                    absmax.data().set(FLOAT, 4 * b, max);
                    codec.encode(x, offset + 4 * at, max, chunk, at, length);
                }
                Nibbles.HIGH_FIRST.pack(chunk, 0, codes.data(), first >>> 1, count, zero);
            }
        });
        if (!scheme.doubleQuant()) {
            return QuantizedMatrix.bnb4(scheme, n, k, codes, absmax);
        }
        return QuantizedMatrix.bnb4(scheme, n, k, codes, nest(absmax, mean(absmax), arena));
    }

    /** The mean of all absmax: added up in f64 in block order, rounded to f32 once. 0 for none. */
    static float mean(Tensor absmax) {
        long blocks = absmax.elements();
        double sum = 0;
        for (long b = 0; b < blocks; b++) {
            sum += absmax.data().get(FLOAT, 4 * b);
        }
        return blocks == 0 ? 0f : (float) (sum / blocks);
    }

    /**
     * Quantizes absmax − {@code offset} to the dynamic map in blocks of 256, scaled by the reciprocal of the nested
     * absmax. A nested block of zeros gets the code of 0.
     */
    static NestedScales nest(Tensor absmax, float offset, Arena arena) {
        long blocks = absmax.elements();
        long nestedBlocks = Math.ceilDiv(blocks, (long) NestedScales.BLOCK);
        Tensor codes = Tensor.allocate(arena, DType.U8, blocks);
        Tensor nested = Tensor.allocate(arena, DType.F32, nestedBlocks);
        for (long j = 0; j < nestedBlocks; j++) {
            long from = j * NestedScales.BLOCK;
            long to = Math.min(blocks, from + NestedScales.BLOCK);
            float max = 0;
            for (long b = from; b < to; b++) {
                max = Math.max(max, Math.abs(absmax.data().get(FLOAT, 4 * b) - offset));
            }
            nested.data().set(FLOAT, 4 * j, max);
            float inverse = 1f / max;
            for (long b = from; b < to; b++) {
                float a = absmax.data().get(FLOAT, 4 * b) - offset;
                int code = max < Float.MIN_NORMAL ? DynamicMap.ZERO : DynamicMap.encode(a * inverse);
                codes.data().set(ValueLayout.JAVA_BYTE, b, (byte) code);
            }
        }
        return new NestedScales(codes, nested, Tensor.ofFloats(arena, DynamicMap.values(), 256), offset);
    }
}
