package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class SamplerTest {
    /** Probabilities 0.1, 0.4, 0.05, 0.3, 0.15 at temperature 1. */
    private static float[] scores() {
        double[] p = {0.1, 0.4, 0.05, 0.3, 0.15};
        float[] x = new float[p.length];
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) Math.log(p[i]) + 3;
        }
        return x;
    }

    private static float[] probabilities(Sampler sampler) {
        float[] x = scores();
        sampler.probabilities(x);
        return x;
    }

    private static void assertClose(double[] expected, float[] got) {
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], got[i], 1e-6, "token " + i + " of " + Arrays.toString(got));
        }
    }

    @Test
    void masksKeepTheLikeliestAndRenormalize() {
        assertClose(new double[] {0.1, 0.4, 0.05, 0.3, 0.15}, probabilities(Sampler.of(1, 0, 1, 0)));
        assertClose(new double[] {0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85}, probabilities(Sampler.of(1, 3, 1, 0)));
        // 0.4 + 0.3 is short of 0.71, so a third token comes in
        assertClose(new double[] {0, 0.4 / 0.7, 0, 0.3 / 0.7, 0}, probabilities(Sampler.of(1, 0, 0.69, 0)));
        assertClose(new double[] {0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85}, probabilities(Sampler.of(1, 0, 0.71, 0)));
        assertClose(new double[] {0, 1, 0, 0, 0}, probabilities(Sampler.of(1, 0, 0.01, 0)));
        // p counts within the k: 0.4/0.85 = 0.47 is short of 0.5, 0.82 is not
        assertClose(new double[] {0, 0.4 / 0.7, 0, 0.3 / 0.7, 0}, probabilities(Sampler.of(1, 3, 0.5, 0)));
        assertClose(new double[] {0.1, 0.4, 0.05, 0.3, 0.15}, probabilities(Sampler.of(1, 99, 1, 0)));
    }

    @Test
    void temperatureSharpens() {
        double sum = 0.01 + 0.16 + 0.0025 + 0.09 + 0.0225;
        assertClose(new double[] {0.01 / sum, 0.16 / sum, 0.0025 / sum, 0.09 / sum, 0.0225 / sum}, probabilities(Sampler.of(0.5, 0, 1, 0)));
    }

    @Test
    @DisplayName("seed 11 gives the same tokens twice, seed 12 others, and both the right frequencies")
    void seedDecides() {
        int[] first = draw(Sampler.of(1, 0, 1, 11), 20000);
        assertArrayEquals(first, draw(Sampler.of(1, 0, 1, 11), 20000));
        assertFalse(Arrays.equals(first, draw(Sampler.of(1, 0, 1, 12), 20000)));
        double[] expected = {0.1, 0.4, 0.05, 0.3, 0.15};
        for (int token = 0; token < 5; token++) {
            int t = token;
            double share = Arrays.stream(first).filter(x -> x == t).count() / 20000.0;
            // five standard deviations
            assertEquals(expected[token], share, 5 * Math.sqrt(expected[token] * (1 - expected[token]) / 20000), "token " + token);
        }
    }

    @Test
    void zeroTemperatureTakesTheFirstOfTheLikeliest() {
        assertEquals(1, next(Sampler.of(0, 0, 1, 5), 0f, 2f, -1f, 2f));
        assertEquals(1, next(Sampler.greedy(), 0f, 2f, -1f, 2f));
        assertEquals(2, next(Sampler.of(1, 1, 1, 5), -3f, -2f, -1f, Float.NEGATIVE_INFINITY));
    }

    @Test
    void settingsOutOfRangeAreRefused() {
        for (Runnable wrong : new Runnable[] {
            () -> Sampler.of(-1, 0, 1, 0), () -> Sampler.of(Double.NaN, 0, 1, 0), () -> Sampler.of(1, -1, 1, 0), () -> Sampler.of(1, 0, 0, 0),
            () -> Sampler.of(1, 0, 1.5, 0), () -> Sampler.of(1, 0, Double.NaN, 0)}) {
            assertTrue(assertThrows(IllegalArgumentException.class, wrong::run).getMessage().contains("expected"));
        }
    }

    private static int[] draw(Sampler sampler, int count) {
        try (Arena arena = Arena.ofConfined()) {
            Tensor logits = Tensor.ofFloats(arena, scores(), 1, 5);
            int[] tokens = new int[count];
            for (int i = 0; i < count; i++) {
                tokens[i] = sampler.next(logits);
            }
            return tokens;
        }
    }

    private static int next(Sampler sampler, float... scores) {
        try (Arena arena = Arena.ofConfined()) {
            return sampler.next(Tensor.ofFloats(arena, scores, 1, scores.length));
        }
    }
}
