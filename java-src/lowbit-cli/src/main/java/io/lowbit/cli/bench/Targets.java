package io.lowbit.cli.bench;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.OptionalDouble;

/**
 * The project's own goals for the CPU kernels on f32 activations: parts of the read bandwidth (M = 1, two threads) and
 * of the FMA peak (M ≥ 8) that the same machine reaches in the same run.
 */
public final class Targets {
    private Targets() {}

    /**
     * The goal of a case, where there is one.
     *
     * @param backend its name
     * @param vectorBits width that the kernels run at, 0 for scalar code
     * @param threads that compute
     */
    public static OptionalDouble of(GemmCase gemm, String backend, int vectorBits, int threads) {
        if (!backend.equals("cpu") || gemm.dtype() != DType.F32 || family(gemm.scheme()) == null) {
            return OptionalDouble.empty();
        }
        if (vectorBits == 256 && gemm.m() >= 64) {
            return OptionalDouble.of(0.60);
        }
        if (vectorBits != 512) {
            return OptionalDouble.empty();
        }
        double[] goals = family(gemm.scheme());
        if (gemm.m() == 1) {
            return threads == 2 ? OptionalDouble.of(goals[gemm.regime() == Regime.DRAM ? 0 : 1]) : OptionalDouble.empty();
        }
        if (gemm.m() >= 64) {
            return OptionalDouble.of(goals[3]);
        }
        return gemm.m() == 8 ? OptionalDouble.of(goals[2]) : OptionalDouble.empty();
    }

    /** M = 1 from DRAM, M = 1 from L3, M = 8, M ≥ 64; null where the family has no goals. */
    private static double[] family(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Int4 s -> s.grouping().equals(Grouping.group(128)) ? new double[] {0.70, 0.68, 0.45, 0.72} : null;
            case Scheme.Bnb4 _, Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> new double[] {0.60, 0.52, 0.40, 0.70};
            case Scheme.Fp8 _, Scheme.Mxfp8 _ -> new double[] {0.65, 0.58, 0.45, 0.70};
            case Scheme.Dense _, Scheme.Int8 _, Scheme.Ggml _ -> null;
        };
    }
}
