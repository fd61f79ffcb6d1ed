package io.lowbit.llm.calibrate;

import io.lowbit.tensor.Tensor;
import java.util.SplittableRandom;

/** Proves on sample inputs that scales folded into a weight and out of its input change nothing but f32 rounding. */
final class FoldCheck {
    private static final int SAMPLES = 4;
    private static final long SEED = 20261125;
    /** Two roundings in f32 for each product, and room. */
    private static final double LIMIT = 1e-6;

    private FoldCheck() {}

    /**
     * Compares W·x with (W·s)·(x/s) for inputs of the given mean magnitudes and random signs.
     *
     * @throws IllegalStateException where they differ by more than rounding
     */
    static void require(Tensor weights, float[] scales, double[] magnitudes) {
        int k = scales.length;
        SplittableRandom random = new SplittableRandom(SEED);
        double noise = 0;
        double signal = 0;
        float[] row = new float[k];
        float[][] x = new float[SAMPLES][k];
        for (float[] sample : x) {
            for (int i = 0; i < k; i++) {
                sample[i] = (float) (random.nextBoolean() ? magnitudes[i] : -magnitudes[i]);
            }
        }
        for (long r = 0; r < weights.dim(0); r++) {
            weights.readFloats(r * k, row, 0, k);
            for (float[] sample : x) {
                double plain = 0;
                double folded = 0;
                double size = 0;
                for (int i = 0; i < k; i++) {
                    plain += (double) row[i] * sample[i];
                    folded += (double) (row[i] * scales[i]) * (sample[i] / scales[i]);
                    size += Math.abs((double) row[i] * sample[i]);
                }
                noise += (plain - folded) * (plain - folded);
                signal += size * size;
            }
        }
        if (noise > LIMIT * LIMIT * signal) {
            throw new IllegalStateException("folding the scales changes the layer's output by " + Math.sqrt(noise / signal)
                    + " of its size: please report the model");
        }
    }
}
