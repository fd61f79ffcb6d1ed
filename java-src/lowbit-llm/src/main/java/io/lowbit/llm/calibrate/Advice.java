package io.lowbit.llm.calibrate;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The choice of a scheme for each layer that costs least under a limit on bytes: a knapsack with one item of each layer,
 * solved exactly by dynamic programming on bytes in units of 1/{@value #UNITS} of the limit (sizes rounded up, so the limit
 * holds).
 *
 * @param choices one a layer
 */
public record Advice(List<Choice> choices) {
    private static final int UNITS = 20_000;

    /**
     * Solves.
     *
     * @param layers the choices of each layer
     * @param limit bytes of all layers together
     * @param speedWeight nats that a doubling of the time of one token would be worth; 0 looks at the loss alone
     * @throws IllegalArgumentException where even the smallest choices exceed the limit
     */
    public static Advice solve(List<List<Choice>> layers, long limit, double speedWeight) {
        long unit = Math.max(1, Math.ceilDiv(limit, UNITS));
        int most = (int) (limit / unit);
        double reference = layers.stream().mapToDouble(l -> l.stream().mapToDouble(Choice::seconds).max().orElse(0)).sum();
        double[] best = new double[most + 1];
        int[][] taken = new int[layers.size()][most + 1];
        Arrays.fill(best, 0);
        for (int l = 0; l < layers.size(); l++) {
            double[] next = new double[most + 1];
            Arrays.fill(next, Double.POSITIVE_INFINITY);
            for (int c = 0; c < layers.get(l).size(); c++) {
                Choice choice = layers.get(l).get(c);
                int size = (int) Math.min(most + 1L, Math.ceilDiv(choice.bytes(), unit));
                double cost = choice.loss() + (speedWeight == 0 ? 0 : speedWeight * choice.seconds() / reference);
                for (int used = size; used <= most; used++) {
                    if (best[used - size] + cost < next[used]) {
                        next[used] = best[used - size] + cost;
                        taken[l][used] = c;
                    }
                }
            }
            best = next;
        }
        if (best[most] == Double.POSITIVE_INFINITY) {
            long least = layers.stream().mapToLong(l -> l.stream().mapToLong(Choice::bytes).min().orElse(0)).sum();
            throw new IllegalArgumentException("a budget of " + limit + " bytes: the smallest schemes take " + least + "; allow more");
        }
        List<Choice> out = new ArrayList<>();
        int used = most;
        for (int l = layers.size() - 1; l >= 0; l--) {
            Choice choice = layers.get(l).get(taken[l][used]);
            out.addFirst(choice);
            used -= (int) Math.ceilDiv(choice.bytes(), unit);
        }
        return new Advice(out);
    }

    /** Bytes of all layers. */
    public long bytes() {
        return choices.stream().mapToLong(Choice::bytes).sum();
    }

    /** What all choices together are predicted to add to the mean negative log-likelihood, in nats. */
    public double loss() {
        return choices.stream().mapToDouble(Choice::loss).sum();
    }

    /** To quantize a model by it. */
    public Recipe recipe() {
        Map<String, io.lowbit.quant.Scheme> schemes = new LinkedHashMap<>();
        choices.forEach(c -> schemes.put(c.layer(), c.scheme()));
        return new Recipe(schemes, null);
    }
}
