package io.lowbit.cli.bench;

import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;

/**
 * One product to time: y {@code [M, N]} = x {@code [M, K]} · Wᵀ.
 *
 * @param scheme how the weights are stored
 * @param shape N and K
 * @param m rows of x
 * @param regime where the weights come from
 * @param dtype type of x and of y
 */
public record GemmCase(Scheme scheme, GemmShape shape, int m, Regime regime, DType dtype) {
    /** Multiplications and additions of one call: 2·M·N·K. */
    public double flops() {
        return 2.0 * m * shape.n() * shape.k();
    }

    /** For example {@code int4 sym g128 4096x4096 M=1 dram}. */
    @Override
    public String toString() {
        return scheme.label() + " " + shape + " M=" + m + " " + regime.name().toLowerCase(java.util.Locale.ROOT);
    }
}
