package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.format.Int4;
import io.lowbit.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The clip search, which spares most powers, against one that computes all of them. */
class ClipSearchTest {
    private static final long SEED = 20261125;

    @ParameterizedTest(name = "norm {0}")
    @ValueSource(doubles = {2.4, 2.0, 0.7, 1.0, 3.5})
    void findsTheGridThatTryingAllFinds(double norm) {
        Random random = new Random(SEED);
        ClipSearch clip = new ClipSearch(norm, 100, 0.8);
        for (int trial = 0; trial < 120; trial++) {
            float[] w = new float[1 + random.nextInt(200)];
            float size = (float) Math.scalb(1.0, random.nextInt(60) - 40);
            int kind = trial % 4;
            for (int i = 0; i < w.length; i++) {
                w[i] = size * switch (kind) {
                    case 0 -> (float) random.nextGaussian();
                    case 1 -> random.nextInt(-8, 8);
                    case 2 -> random.nextInt(20) == 0 ? (float) (9 * random.nextGaussian()) : (float) (0.1 * random.nextGaussian());
                    default -> random.nextFloat();
                };
            }
            for (boolean symmetric : new boolean[] {true, false}) {
                Scheme.Int4 scheme = new Scheme.Int4(Grouping.CHANNEL, symmetric, DType.F32);
                float low = 0;
                float high = 0;
                for (float v : w) {
                    low = Math.min(low, v);
                    high = Math.max(high, v);
                }
                Int4Grid want = Int4Grid.of(low, high, 1.0, scheme);
                double least = loss(w, want, norm);
                for (int i = 1; i < 80 && (low != 0 || high != 0); i++) {
                    Int4Grid grid = Int4Grid.of(low, high, 1.0 - i / 100.0, scheme);
                    double loss = loss(w, grid, norm);
                    if (loss < least) {
                        least = loss;
                        want = grid;
                    }
                }
                Int4Grid got = Int4Grid.search(MemorySegment.ofArray(w), w.length, low, high, scheme, clip);
                assertEquals(want, got, "seed " + SEED + ", trial " + trial + ", symmetric " + symmetric);
            }
        }
    }

    private static double loss(float[] w, Int4Grid grid, double norm) {
        double sum = 0;
        for (float v : w) {
            float q = Int4.decode(Int4.encode(v / grid.scale(), grid.zero()), grid.zero()) * grid.scale();
            double d = Math.abs((double) v - q);
            sum += norm == 2.0 ? d * d : StrictMath.pow(d, norm);
        }
        return sum;
    }

    @ParameterizedTest(name = "norm {0}")
    @ValueSource(doubles = {2.4, 0.5, 1.7, 6})
    void aPowersBoundIsNearItAndNeverTooFarAbove(double norm) {
        PowerBound bound = PowerBound.of(norm);
        Random random = new Random(SEED);
        for (int i = 0; i < 200_000; i++) {
            double d = Math.scalb(1 + random.nextDouble(), random.nextInt(-149, 128));
            double power = StrictMath.pow(d, norm);
            assertTrue(bound.bound(d) <= power * bound.excess(), () -> d + "^" + norm);
            assertEquals(bound.bound(d), bound.bound(-d));
            if (power > 1e-300) {
                assertTrue(bound.bound(d) >= power * (2 - bound.excess()), () -> d + "^" + norm);
            }
        }
        assertEquals(0, bound.bound(0));
        assertEquals(0, bound.bound(Double.MIN_VALUE));
    }

    @Test
    void aGroupOfZerosKeepsItsGrid() {
        try (Arena arena = Arena.ofConfined()) {
            Scheme.Int4 scheme = new Scheme.Int4(Grouping.CHANNEL, true);
            MemorySegment zeros = arena.allocate(ValueLayout.JAVA_FLOAT, 16);
            assertEquals(Int4Grid.of(0, 0, 1, scheme), Int4Grid.search(zeros, 16, 0, 0, scheme, ClipSearch.GPTQ));
        }
    }
}
