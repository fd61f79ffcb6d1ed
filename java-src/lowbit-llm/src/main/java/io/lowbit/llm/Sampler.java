package io.lowbit.llm;

import io.lowbit.tensor.Tensor;
import java.util.Arrays;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/**
 * Chooses the next token from its scores: temperature, then the k likeliest, then the nucleus of probability p, as
 * transformers orders them. The same seed and the same scores give the same tokens. Not for several threads at once.
 */
public final class Sampler {
    private final double temperature;
    private final int topK;
    private final double topP;
    private final RandomGenerator random;
    private float[] scores = {};
    private long[] order = {};

    private Sampler(double temperature, int topK, double topP, long seed) {
        if (!(temperature >= 0) || Double.isInfinite(temperature)) {
            throw new IllegalArgumentException("temperature " + temperature + ": expected 0 (greedy) or more");
        }
        if (topK < 0) {
            throw new IllegalArgumentException("top-k " + topK + ": expected 0 (all tokens) or more");
        }
        if (!(topP > 0 && topP <= 1)) {
            throw new IllegalArgumentException("top-p " + topP + ": expected more than 0 and at most 1 (all tokens)");
        }
        this.temperature = temperature;
        this.topK = topK;
        this.topP = topP;
        this.random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    }

    /** Always the likeliest token; of equals the first. */
    public static Sampler greedy() {
        return new Sampler(0, 0, 1, 0);
    }

    /**
     * A random choice.
     *
     * @param temperature divides the scores; 0 is greedy
     * @param topK keeps the k likeliest tokens; 0 keeps all
     * @param topP keeps the fewest likeliest tokens whose probabilities reach p together; 1 keeps all
     * @param seed of the random numbers
     */
    public static Sampler of(double temperature, int topK, double topP, long seed) {
        return new Sampler(temperature, topK, topP, seed);
    }

    /** The next token, from scores {@code [1, vocabulary]}. */
    public int next(Tensor logits) {
        int n = Math.toIntExact(logits.elements());
        if (scores.length != n) {
            scores = new float[n];
        }
        logits.readFloats(0, scores, 0, n);
        if (temperature == 0) {
            return likeliest(scores);
        }
        int kept = probabilities(scores);
        double rest = random.nextDouble();
        for (int i = 0; i < kept - 1; i++) {
            int token = (int) order[i];
            rest -= scores[token];
            if (rest < 0) {
                return token;
            }
        }
        return (int) order[kept - 1];
    }

    private static int likeliest(float[] scores) {
        int best = 0;
        for (int i = 1; i < scores.length; i++) {
            if (scores[i] > scores[best]) {
                best = i;
            }
        }
        return best;
    }

    /**
     * Turns scores into the probabilities that {@link #next} draws from; tokens cut off get 0.
     *
     * @return how many are kept; their indices stand in {@code order}, likeliest first
     */
    int probabilities(float[] x) {
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) (x[i] / temperature);
        }
        rank(x);
        int kept = topK == 0 ? x.length : Math.min(topK, x.length);
        double sum = softmax(x, kept);
        if (topP < 1) {
            double reached = 0;
            int nucleus = 0;
            while (nucleus < kept && reached < topP * sum) {
                reached += x[(int) order[nucleus++]];
            }
            for (int i = nucleus; i < kept; i++) {
                x[(int) order[i]] = 0;
            }
            kept = nucleus;
            sum = reached;
        }
        for (int i = 0; i < kept; i++) {
            x[(int) order[i]] /= (float) sum;
        }
        return kept;
    }

    /** order = the tokens by falling score; of equals the lower token first. */
    private void rank(float[] x) {
        if (order.length != x.length) {
            order = new long[x.length];
        }
        for (int i = 0; i < x.length; i++) {
            int bits = Float.floatToIntBits(x[i]);
            // an integer that falls as the float rises, above the token
            int falling = ~(bits ^ (bits >> 31 & 0x7fffffff));
            order[i] = (long) falling << 32 | i;
        }
        Arrays.sort(order);
    }

    /** x[t] = e^(x[t] − max) for the first {@code kept} tokens in order, 0 for the others; the sum. */
    private double softmax(float[] x, int kept) {
        float max = x[(int) order[0]];
        double sum = 0;
        for (int i = 0; i < x.length; i++) {
            int token = (int) order[i];
            x[token] = i < kept ? (float) Math.exp(x[token] - max) : 0f;
            sum += x[token];
        }
        return sum;
    }
}
