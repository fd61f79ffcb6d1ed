package io.lowbit.cli.bench.gpu;

import io.lowbit.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** Normal numbers by the hundred million: drawn from a table of 65,536, each with an index of its own. */
final class RandomWeights {
    private static final int TABLE = 1 << 16;
    private static final long CHUNK = 1 << 20;

    private RandomWeights() {}

    /** Fills an F32 tensor on all processors; the same seed gives the same numbers for any number of them. */
    static void fill(Tensor out, double deviation, long seed) {
        float[] table = new float[TABLE];
        SplittableRandom random = new SplittableRandom(seed);
        for (int i = 0; i < TABLE; i++) {
            table[i] = (float) (random.nextGaussian() * deviation);
        }
        long elements = out.elements();
        IntStream.range(0, Math.toIntExact(Math.ceilDiv(elements, CHUNK))).parallel().forEach(chunk -> {
            SplittableRandom own = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + chunk);
            long from = chunk * CHUNK;
            long to = Math.min(elements, from + CHUNK);
            for (long i = from; i < to; i += 4) {
                long bits = own.nextLong();
                for (long j = i; j < Math.min(to, i + 4); j++) {
                    out.data().setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, j, table[(int) bits & (TABLE - 1)]);
                    bits >>>= 16;
                }
            }
        });
    }
}
