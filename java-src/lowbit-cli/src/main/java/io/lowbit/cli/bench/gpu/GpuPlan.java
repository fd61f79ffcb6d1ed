package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.quant.Accumulation;
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
 * @param fp8Inputs what FP8 weights are multiplied with
 * @param dispatch true to measure what adding a product to a stream costs
 * @param coldBytes weights, activations and outputs of all launches together are at least so many bytes
 * @param rule how long
 * @param seed of all random data
 */
public record GpuPlan(
        List<Scheme> schemes, List<GemmShape> shapes, List<Integer> ms, DType dtype, boolean peers, Inputs fp8Inputs,
        boolean dispatch, long coldBytes, TimingRule rule, long seed) {
    /** Activations that FP8 weights are multiplied with. */
    public enum Inputs {
        /** As they come. */
        NATIVE,
        /** Quantized to FP8, where the weights' scales allow it; other weights have no such product and take them as they come. */
        FP8,
        /** The one and the other. */
        BOTH
    }

    /** How sums of FP8 products are timed. */
    static final List<Accumulation> ACCUMULATIONS = List.of(Accumulation.PRECISE, Accumulation.FAST);

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
        return 0.06 + Math.min(0.6, 2.0 * m * shape.n() * shape.k() / 7e12);
    }

    /** Of all cases together. */
    public double weight() {
        return contenders() * shapes.stream().mapToDouble(shape -> ms.stream().mapToDouble(m -> weight(shape, m)).sum()).sum();
    }

    private int contenders() {
        int contenders = peers ? Operands.values().length : 0;
        for (Scheme scheme : schemes) {
            contenders += (onPlain(scheme) ? 1 : 0) + (onFp8(scheme) ? ACCUMULATIONS.size() : 0);
        }
        return contenders;
    }

    /** True where the weights are timed on activations as they come. */
    boolean onPlain(Scheme scheme) {
        return fp8Inputs != Inputs.FP8 || !onFp8(scheme);
    }

    /** True where the weights are timed on FP8 activations. */
    boolean onFp8(Scheme scheme) {
        return fp8Inputs != Inputs.NATIVE && scheme instanceof Scheme.Fp8 fp8 && fp8.format() == Scheme.Fp8Format.E4M3
                && SchemeKernels.takesFp8Activations(fp8);
    }
}
