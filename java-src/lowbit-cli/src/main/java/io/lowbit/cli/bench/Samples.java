package io.lowbit.cli.bench;

import java.util.Arrays;

/**
 * What repeated measurements say.
 *
 * @param count how many
 * @param median the middle one, or the mean of the middle two
 * @param min the smallest
 * @param p95 the smallest that 95 % do not exceed
 * @param max the largest
 */
public record Samples(int count, double median, double min, double p95, double max) {
    /**
     * Summarizes the first {@code count} values.
     *
     * @throws IllegalArgumentException when there is none
     */
    public static Samples of(long[] values, int count) {
        double[] copy = new double[count];
        for (int i = 0; i < count; i++) {
            copy[i] = values[i];
        }
        return of(copy);
    }

    /**
     * Summarizes {@code values}.
     *
     * @throws IllegalArgumentException when there is none
     */
    public static Samples of(double... values) {
        if (values.length == 0) {
            throw new IllegalArgumentException("no samples: expected at least 1");
        }
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int n = sorted.length;
        return new Samples(
                n,
                (sorted[(n - 1) / 2] + sorted[n / 2]) / 2,
                sorted[0],
                sorted[(int) Math.ceil(0.95 * n) - 1],
                sorted[n - 1]);
    }
}
