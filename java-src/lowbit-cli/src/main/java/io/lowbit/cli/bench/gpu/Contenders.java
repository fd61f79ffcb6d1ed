package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.cublaslt.CublasLtHandle;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.DeviceMatrix;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;

/** Who competes: the peers, and Lowbit's products of the schemes of a plan. */
final class Contenders {
    private static final Scheme BF16 = new Scheme.Dense(DType.BF16);
    private static final Scheme FP8_TENSOR = new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR);
    private static final Scheme FP8_CHANNEL = new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL);

    private final CudaBackend backend;
    private final CublasLtHandle peers;
    private final Stream stream;

    /**
     * A contender that is not there yet.
     *
     * @param dtype of x and y
     * @param make makes it of the quantized weights, which may be closed only after it
     */
    record Entry(String name, DType dtype, Function<DeviceMatrix, Contender> make) {}

    /** @param peers null where there is no cuBLASLt */
    Contenders(CudaBackend backend, CublasLtHandle peers, Stream stream) {
        this.backend = backend;
        this.peers = peers;
        this.stream = stream;
    }

    /** What the contenders of a plan multiply, in the order of the tables. */
    Set<Scheme> schemes(GpuPlan plan) {
        Set<Scheme> schemes = new LinkedHashSet<>();
        if (plan.peers() && peers != null) {
            schemes.addAll(List.of(BF16, FP8_TENSOR, FP8_CHANNEL));
        }
        schemes.addAll(plan.schemes());
        return schemes;
    }

    /** All that multiply weights of a scheme. */
    List<Entry> of(GpuPlan plan, Scheme scheme) {
        List<Entry> entries = new ArrayList<>();
        if (plan.peers() && peers != null) {
            for (Operands operands : Operands.values()) {
                if (scheme.equals(operands.rows() ? FP8_CHANNEL : operands.fp8() ? FP8_TENSOR : BF16)) {
                    entries.add(new Entry(GpuBench.peerName(operands), DType.BF16,
                            matrix -> new PeerContender(peers, backend.context(), stream, operands, matrix)));
                }
            }
        }
        if (plan.schemes().contains(scheme)) {
            if (plan.onPlain(scheme)) {
                add(entries, plan, scheme, null);
            }
            for (EightBits inputs : plan.inEightBits(scheme)) {
                add(entries, plan, scheme, inputs);
            }
        }
        return entries;
    }

    /** The chosen kernels' product, then those of each kernel that is to be timed by itself. */
    private void add(List<Entry> entries, GpuPlan plan, Scheme scheme, EightBits inputs) {
        String name = inputs == null ? scheme.label() : inputs.name(scheme);
        entries.add(new Entry(name, plan.dtype(), matrix -> new LowbitContender(backend, matrix, inputs, null)));
        for (ProductKernel kernel : Forced.of(plan, scheme, inputs)) {
            entries.add(new Entry(Forced.name(name, kernel), plan.dtype(), matrix -> new LowbitContender(backend, matrix, inputs, kernel)));
        }
    }
}
