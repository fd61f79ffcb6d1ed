package io.lowbit.llm.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.quant.Scheme;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** The choice under a budget against trying every mix. */
class AdviceTest {
    private static final long SEED = 8;
    private static final int LAYERS = 6;
    private static final int CHOICES = 4;

    private static List<List<Choice>> layers(SplittableRandom random) {
        List<List<Choice>> layers = new ArrayList<>();
        for (int l = 0; l < LAYERS; l++) {
            List<Choice> choices = new ArrayList<>();
            for (int c = 0; c < CHOICES; c++) {
                choices.add(new Choice("layer " + l, new Scheme.Mxfp4(), random.nextInt(1, 400), random.nextDouble(), random.nextDouble(), random.nextDouble(1, 2)));
            }
            layers.add(choices);
        }
        return layers;
    }

    /** Loss, and speed where it is asked for: seconds in units of the slowest mix. */
    private static double cost(List<Choice> mix, double speedWeight, double slowest) {
        return mix.stream().mapToDouble(c -> c.loss() + speedWeight * c.seconds() / slowest).sum();
    }

    @Test
    void isTheCheapestOfAllMixesInTheBudgetSeed8() {
        SplittableRandom random = new SplittableRandom(SEED);
        for (int trial = 0; trial < 60; trial++) {
            List<List<Choice>> layers = layers(random);
            double speedWeight = trial % 3 == 0 ? 0 : 4 * random.nextDouble();
            double slowest = layers.stream().mapToDouble(l -> l.stream().mapToDouble(Choice::seconds).max().orElseThrow()).sum();
            long limit = random.nextInt(300, 1500);
            double best = Double.POSITIVE_INFINITY;
            for (int code = 0; code < (int) Math.pow(CHOICES, LAYERS); code++) {
                List<Choice> mix = new ArrayList<>();
                for (int l = 0, rest = code; l < LAYERS; l++, rest /= CHOICES) {
                    mix.add(layers.get(l).get(rest % CHOICES));
                }
                if (mix.stream().mapToLong(Choice::bytes).sum() <= limit) {
                    best = Math.min(best, cost(mix, speedWeight, slowest));
                }
            }
            if (best == Double.POSITIVE_INFINITY) {
                assertTrue(assertThrows(IllegalArgumentException.class, () -> Advice.solve(layers, limit, speedWeight)).getMessage().contains("allow more"));
                continue;
            }
            Advice advice = Advice.solve(layers, limit, speedWeight);
            assertTrue(advice.bytes() <= limit, "seed " + SEED + ", trial " + trial);
            assertEquals(best, cost(advice.choices(), speedWeight, slowest), 1e-12, "seed " + SEED + ", trial " + trial);
            assertEquals(LAYERS, advice.recipe().layers().size());
        }
    }
}
