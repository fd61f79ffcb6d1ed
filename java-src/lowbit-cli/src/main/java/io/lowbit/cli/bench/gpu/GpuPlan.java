package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;

/**
 * What to time on a GPU.
 *
 * @param schemes how Lowbit's weights are stored; may be empty to time the peers alone
 * @param shapes N and K
 * @param ms rows of x, each at least 1
 * @param dtype F32, F16 or BF16: type of x and y of Lowbit's products; the peers' is BF16 always
 * @param peers true to time cuBLASLt too
 * @param inputs what weights are multiplied with
 * @param dispatch true to measure what adding a product to a stream costs
 * @param coldBytes weights, activations and outputs of all launches together are at least so many bytes
 * @param rule how long
 * @param seed of all random data
 */
public record GpuPlan(
        List<Scheme> schemes, List<GemmShape> shapes, List<Integer> ms, DType dtype, boolean peers, Inputs inputs,
        boolean dispatch, long coldBytes, TimingRule rule, long seed) {
    /** Activations. */
    public enum Inputs {
        /** As they come. */
        NATIVE,
        /** Quantized to 8 bits beforehand where there is such a product; but only FP8 weights do not take them as they come too. */
        QUANTIZED,
        /** As {@link #QUANTIZED}, but by the call that is timed: BF16 in, BF16 out. */
        WITHIN,
        /** {@link #NATIVE} and {@link #QUANTIZED}, for all weights. */
        BOTH
    }

    public GpuPlan {
        schemes = List.copyOf(schemes);
        shapes = List.copyOf(shapes);
        ms = List.copyOf(ms);
        if (schemes.isEmpty() && !peers || shapes.isEmpty() || ms.isEmpty()) {
            throw new IllegalArgumentException("benchmark plan: expected at least one scheme, shape and M");
        }
        for (int m : ms) {
            if (m < 1) {
                throw new IllegalArgumentException("M=" + m + ": expected at least 1");
            }
        }
    }

    /** Number of all cases. */
    public int size() {
        return contenders() * shapes.size() * ms.size();
    }

    /** About how long a case takes beside others: the set-up is the same for all, the replays are longer for larger products. */
    public static double weight(GemmShape shape, int m) {
        double flops = 2.0 * m * shape.n() * shape.k();
        return 0.06 + Math.min(0.6, flops / 7e12) + (flops > 5e10 ? 0.2 : 0);
    }

    /** Of all cases together. */
    public double weight() {
        return contenders() * shapes.stream().mapToDouble(shape -> ms.stream().mapToDouble(m -> weight(shape, m)).sum()).sum();
    }

    private int contenders() {
        int contenders = peers ? Operands.values().length : 0;
        for (Scheme scheme : schemes) {
            contenders += (onPlain(scheme) ? 1 : 0) + inEightBits(scheme).size();
        }
        return contenders;
    }

    /** True where the weights are timed on activations as they come. */
    boolean onPlain(Scheme scheme) {
        return inputs == Inputs.NATIVE || inputs == Inputs.BOTH || !(scheme instanceof Scheme.Fp8 || scheme instanceof Scheme.Mxfp8) || inEightBits(scheme).isEmpty();
    }

    /** How the weights are timed on activations of 8 bits. */
    List<EightBits> inEightBits(Scheme scheme) {
        return inputs == Inputs.NATIVE ? List.of() : EightBits.of(scheme, inputs == Inputs.WITHIN);
    }
}
