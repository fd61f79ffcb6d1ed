package io.lowbit.quant.calibrate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What calibration promises beyond accuracy: the same bits for any number of threads, odd shapes, and bad inputs by name. */
class CalibrateContractTest {
    private static final Scheme.Int4 ASYM = new Scheme.Int4(Grouping.group(32), false);
    private static final Scheme.Int4 SYM = new Scheme.Int4(Grouping.CHANNEL, true);

    private static Tensor random(Arena arena, int n, int k, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[n * k];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian() * (1 + 9 * (i % k == 3 ? 1 : 0));
        }
        return Tensor.ofFloats(arena, values, n, k);
    }

    private static Hessian hessian(Tensor x, int threads) {
        Hessian h = new Hessian((int) x.dim(1));
        h.add(x, threads);
        return h;
    }

    private static List<byte[]> parts(QuantizedMatrix m) {
        List<byte[]> out = new ArrayList<>();
        for (Tensor t : new Tensor[] {m.codes(), m.scales(), m.zeros(), m.groups()}) {
            out.add(t == null ? new byte[0] : t.data().toArray(ValueLayout.JAVA_BYTE));
        }
        return out;
    }

    private static void same(QuantizedMatrix a, QuantizedMatrix b) {
        List<byte[]> pa = parts(a);
        List<byte[]> pb = parts(b);
        for (int i = 0; i < pa.size(); i++) {
            assertArrayEquals(pa.get(i), pb.get(i), "part " + i);
        }
    }

    @ParameterizedTest(name = "{0} threads give the bits of one, seed 11")
    @ValueSource(ints = {2, 5})
    void threads(int threads) {
        try (Arena arena = Arena.ofShared()) {
            // rows and columns that fill no tile, no block and no group
            Tensor w = random(arena, 131, 203, 11);
            Tensor x = random(arena, 301, 203, 12);
            Hessian one = hessian(x, 1);
            Hessian many = hessian(x, threads);
            for (int i = 0; i < 203; i++) {
                assertEquals(one.get(i, 202 - i), many.get(i, 202 - i));
            }
            for (boolean act : new boolean[] {false, true}) {
                GptqOptions o = GptqOptions.DEFAULT.withActOrder(act);
                same(Gptq.quantize(w, ASYM, one, o.withThreads(1), arena).matrix(), Gptq.quantize(w, ASYM, many, o.withThreads(threads), arena).matrix());
            }
            AwqOptions awq = AwqOptions.DEFAULT;
            float[] scales = Awq.search(List.of(w), ASYM, one, awq.withThreads(1)).scales();
            assertArrayEquals(scales, Awq.search(List.of(w), ASYM, many, awq.withThreads(threads)).scales());
            same(Awq.quantize(w, scales, ASYM, one, awq.withThreads(1), arena), Awq.quantize(w, scales, ASYM, many, awq.withThreads(threads), arena));
            same(Hqq.quantize(w, ASYM, HqqOptions.DEFAULT.withThreads(1), arena), Hqq.quantize(w, ASYM, HqqOptions.DEFAULT.withThreads(threads), arena));
        }
    }

    @Test
    void lowersTheOutputErrorOnInputsNotSeenSeed21() {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = random(arena, 96, 160, 21);
            Tensor x = random(arena, 600, 160, 22);
            // correlated features: neighbours share half of their values
            for (long r = 0; r < 600; r++) {
                for (long c = 1; c < 160; c++) {
                    x.setFloat(r * 160 + c, 0.7f * x.getFloat(r * 160 + c - 1) + 0.7f * x.getFloat(r * 160 + c));
                }
            }
            Hessian seen = hessian(x.rows(0, 400), 2);
            Hessian held = hessian(x.rows(400, 600), 2);
            double rounded = OutputErrors.relativeSquared(w, Quantizer.quantize(w, ASYM, QuantizeOptions.DEFAULT, arena), held, 2);
            double gptq = OutputErrors.relativeSquared(w, Gptq.quantize(w, ASYM, seen, GptqOptions.DEFAULT, arena).matrix(), held, 2);
            assertTrue(gptq < 0.6 * rounded, "GPTQ " + gptq + ", rounding " + rounded);
        }
    }

    @Test
    void withoutInputsItRoundsToNearestAndSaysSo() {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = random(arena, 17, 64, 31);
            GptqResult r = Gptq.quantize(w, ASYM, new Hessian(64), GptqOptions.DEFAULT, arena);
            assertEquals(0, r.rows());
            assertTrue(Double.isNaN(r.damping()));
            same(Quantizer.quantize(w, ASYM, QuantizeOptions.DEFAULT, arena), r.matrix());
        }
    }

    @Test
    void deadFeaturesAndFewRowsAreReported() {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = random(arena, 20, 64, 41);
            Tensor x = random(arena, 10, 64, 42);
            for (long r = 0; r < 10; r++) {
                x.setFloat(r * 64 + 5, 0f);
                x.setFloat(r * 64 + 40, 0f);
            }
            GptqResult r = Gptq.quantize(w, SYM, hessian(x, 1), GptqOptions.DEFAULT, arena);
            assertEquals(2, r.deadColumns());
            assertTrue(r.fewRows());
            for (long row = 0; row < 20; row++) {
                assertEquals(0f, r.matrix().value(row, 5));
                assertEquals(0f, r.matrix().value(row, 40));
            }
        }
    }

    /** H is 4 everywhere, exactly, and the damping asked for is lost in its rounding: the second pivot is 0. The next step of the ladder is 0.05. */
    @Test
    void singularMomentsNeedMoreDampingAndGetIt() {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = random(arena, 8, 48, 51);
            Tensor x = Tensor.allocate(arena, DType.F32, 8, 48);
            for (long i = 0; i < x.elements() / 2; i++) {
                x.setFloat(i, 2f);
            }
            Hessian h = hessian(x, 1);
            GptqResult r = Gptq.quantize(w, SYM, h, new GptqOptions(false, false, 1e-20, null, 1), arena);
            assertEquals(0.05, r.damping(), 1e-12);
            same(Gptq.quantize(w, SYM, h, new GptqOptions(false, false, 0.05, null, 1), arena).matrix(), r.matrix());
            assertEquals(0.01, Gptq.quantize(w, SYM, h, GptqOptions.DEFAULT, arena).damping());
        }
    }

    @Test
    void badInputsAreNamed() {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = random(arena, 8, 48, 61);
            Tensor x = random(arena, 8, 48, 62);
            Hessian h = hessian(x, 1);
            x.setFloat(3 * 48 + 7, Float.NaN);
            assertTrue(assertThrows(IllegalArgumentException.class, () -> hessian(x, 1)).getMessage().contains("NaN at feature 7"));
            Tensor wide = random(arena, 8, 49, 63);
            assertTrue(assertThrows(IllegalArgumentException.class, () -> Gptq.quantize(wide, SYM, h, GptqOptions.DEFAULT, arena)).getMessage()
                    .contains("[N, 48]"));
            w.setFloat(2 * 48 + 9, Float.POSITIVE_INFINITY);
            assertTrue(assertThrows(IllegalArgumentException.class, () -> Gptq.quantize(w, SYM, h, GptqOptions.DEFAULT, arena)).getMessage()
                    .contains("weight [2, 9]"));
            assertTrue(assertThrows(IllegalArgumentException.class, () -> Hqq.quantize(w, SYM, HqqOptions.DEFAULT, arena)).getMessage().contains("row 2"));
            assertThrows(IllegalArgumentException.class, () -> Awq.search(List.of(w), SYM, new Hessian(48), AwqOptions.DEFAULT));
        }
    }
}
