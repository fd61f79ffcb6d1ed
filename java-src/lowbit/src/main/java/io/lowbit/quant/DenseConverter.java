package io.lowbit.quant;

import io.lowbit.format.Codecs;
import io.lowbit.format.Overflow;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Plain floats to plain floats, rounded to nearest even. */
final class DenseConverter {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final float F16_MAX = 65504f;
    private static final float BF16_MAX = 0x1.fep127f;

    private DenseConverter() {}

    static QuantizedMatrix convert(WeightSource source, Scheme.Dense scheme, Overflow overflow, Arena arena) {
        long n = source.n();
        long k = source.k();
        DType dtype = scheme.dtype();
        Tensor out = Tensor.allocate(arena, dtype, n, k);
        int bytes = dtype.bits() / 8;
        float max = dtype == DType.F16 ? F16_MAX : dtype == DType.BF16 ? BF16_MAX : Float.MAX_VALUE;
        boolean saturate = overflow == Overflow.SATURATE && WeightSource.absMax(source.range()) > max;
        Parallel.run(n, k, 1, source.threads(), (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(scratch, k);
                MemorySegment clamped = saturate ? scratch.allocate(4 * k, Tensor.ALIGNMENT) : null;
                for (long r = from; r < to; r++) {
                    MemorySegment x = reader.segment();
                    long offset = reader.load(r * k, k);
                    if (saturate) {
                        for (long c = 0; c < k; c++) {
                            float v = x.get(FLOAT, offset + 4 * c);
                            // finite weights saturate; a propagated NaN or infinity stays
                            clamped.set(FLOAT, 4 * c, Float.isFinite(v) ? Math.clamp(v, -max, max) : v);
                        }
                        x = clamped;
                        offset = 0;
                    }
                    RowDecoder.store(x, offset, dtype, out.data(), r * k * bytes, k);
                }
            }
        });
        return QuantizedMatrix.dense(out);
    }
}
