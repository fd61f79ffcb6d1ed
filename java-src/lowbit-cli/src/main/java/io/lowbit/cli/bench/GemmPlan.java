package io.lowbit.cli.bench;

import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * What to time and how long.
 *
 * @param schemes how the weights are stored
 * @param shapes N and K
 * @param ms rows of x, each at least 1
 * @param regimes where the weights come from at M = 1; larger M run in the DRAM regime unless only L3 is asked for
 * @param dtype F32, F16 or BF16: type of x and of y
 * @param seconds timed calls of a case take so long together, or more where {@code minRuns} needs it
 * @param minRuns the least number of timed calls of a case
 * @param warmSeconds a case is called untimed at least so long
 * @param seed of all random data
 * @param sets how many bytes of weights a case rotates through
 */
public record GemmPlan(
        List<Scheme> schemes,
        List<GemmShape> shapes,
        List<Integer> ms,
        Set<Regime> regimes,
        DType dtype,
        double seconds,
        int minRuns,
        double warmSeconds,
        long seed,
        SetSizes sets) {
    /** The most timed calls that {@code minRuns} may ask for. */
    public static final int MOST_RUNS = 10_000;

    public GemmPlan {
        schemes = List.copyOf(schemes);
        shapes = List.copyOf(shapes);
        ms = List.copyOf(ms);
        regimes = Set.copyOf(regimes);
        if (schemes.isEmpty() || shapes.isEmpty() || ms.isEmpty() || regimes.isEmpty()) {
            throw new IllegalArgumentException("benchmark plan: expected at least one scheme, shape, M and regime");
        }
        for (int m : ms) {
            if (m < 1) {
                throw new IllegalArgumentException("M=" + m + ": expected at least 1");
            }
        }
        if (!(seconds >= 0) || !(warmSeconds >= 0) || minRuns < 1 || minRuns > MOST_RUNS) {
            throw new IllegalArgumentException("benchmark plan: " + seconds + " s, " + warmSeconds + " s of warm-up, " + minRuns
                    + " runs: expected times of at least 0 and 1 to " + MOST_RUNS + " runs");
        }
    }

    /** The cases of one scheme and shape, smallest M first as given. */
    public List<GemmCase> cases(Scheme scheme, GemmShape shape) {
        List<GemmCase> cases = new ArrayList<>();
        for (int m : ms) {
            for (Regime regime : Regime.values()) {
                boolean asked = regimes.contains(regime);
                boolean second = m > 1 && regime == Regime.L3 && regimes.contains(Regime.DRAM);
                if (asked && !second) {
                    cases.add(new GemmCase(scheme, shape, m, regime, dtype));
                }
            }
        }
        return cases;
    }

    /** Number of all cases. */
    public int size() {
        return schemes.size() * shapes.size() * cases(schemes.getFirst(), shapes.getFirst()).size();
    }
}
