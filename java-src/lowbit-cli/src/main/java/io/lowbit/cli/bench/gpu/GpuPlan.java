package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cuda.kernels.ProductKernel;
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
 * @param kernels to be timed each by itself, wherever it makes the product, beside those that are chosen; usually none
 */
public record GpuPlan(
        List<Scheme> schemes, List<GemmShape> shapes, List<Integer> ms, DType dtype, boolean peers, Inputs inputs,
        boolean dispatch, long coldBytes, TimingRule rule, long seed, List<ProductKernel> kernels) {
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

    /** Of the kernels that are chosen alone. */
    public GpuPlan(List<Scheme> schemes, List<GemmShape> shapes, List<Integer> ms, DType dtype, boolean peers, Inputs inputs, boolean dispatch,
            long coldBytes, TimingRule rule, long seed) {
        this(schemes, shapes, ms, dtype, peers, inputs, dispatch, coldBytes, rule, seed, List.of());
    }

    public GpuPlan {
        schemes = List.copyOf(schemes);
        shapes = List.copyOf(shapes);
        ms = List.copyOf(ms);
        kernels = List.copyOf(kernels);
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
        return shapes.size() * ms.stream().mapToInt(this::contenders).sum();
    }

    /** About how long a case takes beside others: the set-up is the same for all, the replays are longer for larger products. */
    public static double weight(GemmShape shape, int m) {
        double flops = 2.0 * m * shape.n() * shape.k();
        return 0.06 + Math.min(0.6, flops / 7e12) + (flops > 5e10 ? 0.2 : 0);
    }

    /** Of all cases together. */
    public double weight() {
        return shapes.stream().mapToDouble(shape -> ms.stream().mapToDouble(m -> contenders(m) * weight(shape, m)).sum()).sum();
    }

    /** With so many rows of x. */
    private int contenders(int m) {
        int contenders = peers ? Operands.values().length : 0;
        for (Scheme scheme : schemes) {
            contenders += onPlain(scheme) ? 1 + Forced.count(this, scheme, null, m) : 0;
            for (EightBits inputs : inEightBits(scheme)) {
                contenders += 1 + Forced.count(this, scheme, inputs, m);
            }
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
