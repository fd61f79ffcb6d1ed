package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.cublaslt.CublasLtHandle;
import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.DeviceMatrix;
import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;

/**
 * What the device can do at best.
 *
 * @param copyBytes a device-to-device copy, bytes read plus bytes written a second
 * @param readBytes a kernel that only reads, bytes a second
 * @param bf16Flops multiplications and additions a second of BF16 operands; NaN where not known
 * @param fp8Flops the same of FP8 operands
 * @param how the two peaks were found
 */
public record DeviceLimits(double copyBytes, double readBytes, double bf16Flops, double fp8Flops, String how) {
    private static final long SET = 1L << 30;
    private static final int LARGE = 8192;
    private static final TimingRule RULE = new TimingRule(20, 0.5e6, 100e6, 5e6, false, 200e6);
    private static final TimingRule TRIAL = new TimingRule(5, 0.5e6, 0, 2e6, false, 20e6);

    /** The peak for a type. */
    public double flops(MathType type) {
        return type == MathType.FP8 ? fp8Flops : bf16Flops;
    }

    /** Measures; takes about a second. {@code peers} is null where there is no cuBLASLt: then the peaks are the datasheet's. */
    static DeviceLimits measure(CudaBackend backend, BenchKernels kernels, GraphTimer timer, CublasLtHandle peers) {
        Context context = backend.context();
        double copy;
        double read = 0;
        try (DeviceMemory from = context.allocate(SET); DeviceMemory to = context.allocate(SET); DeviceMemory sink = context.allocate(256)) {
            timer.stream().fill(from.address(), (byte) 0x5a, SET);
            Timing copied = timer.time(RULE, 1, _ -> timer.stream().copy(to.address(), from.address(), SET));
            copy = 2.0 * SET / copied.seconds();
            int best = 0;
            int bestGrid = 0;
            for (int variant = 0; variant < BenchKernels.READ_UNROLLS.length; variant++) {
                for (int waves : new int[] {2, 4, 8, 16}) {
                    int v = variant;
                    int grid = waves * context.device().multiprocessors();
                    double rate = SET / timer.time(TRIAL, 1, _ -> kernels.read(timer.stream(), v, grid, from.address(), SET, sink.address())).seconds();
                    if (rate > read) {
                        read = rate;
                        best = variant;
                        bestGrid = grid;
                    }
                }
            }
            int v = best;
            int grid = bestGrid;
            read = SET / timer.time(RULE, 1, _ -> kernels.read(timer.stream(), v, grid, from.address(), SET, sink.address())).seconds();
        }
        if (peers == null) {
            Datasheet sheet = Datasheet.of(context.device().name());
            return sheet == null
                    ? new DeviceLimits(copy, read, Double.NaN, Double.NaN, "no peak is known: no cuBLASLt to measure it with and no datasheet for this GPU")
                    : new DeviceLimits(copy, read, sheet.bf16(), sheet.fp8(), "dense peaks of the datasheet (" + sheet.gpu() + "): no cuBLASLt to measure them with");
        }
        double bf16 = large(backend, kernels, timer, peers, Operands.BF16, new Scheme.Dense(DType.BF16));
        double fp8 = large(backend, kernels, timer, peers, Operands.FP8_TENSOR_FAST, new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR));
        return new DeviceLimits(copy, read, bf16, fp8, "cuBLASLt's best " + LARGE + " x " + LARGE + " x " + LARGE + " product, or any faster one in this run");
    }

    private static double large(CudaBackend backend, BenchKernels kernels, GraphTimer timer, CublasLtHandle peers, Operands operands,
            Scheme scheme) {
        Context context = backend.context();
        try (DeviceMemory memory = context.allocate(4L * LARGE * LARGE); Activations a = new Activations(context, kernels)) {
            DeviceTensor weights = DeviceTensor.of(memory, DType.F32, LARGE, LARGE);
            kernels.normal(timer.stream(), weights, 1, 0.02f);
            timer.stream().synchronize();
            try (DeviceMatrix matrix = backend.quantize(weights, scheme, QuantizeOptions.DEFAULT);
                    PeerContender peer = new PeerContender(peers, context, timer.stream(), operands, matrix)) {
                a.prepare(timer.stream(), DType.BF16, LARGE, LARGE, LARGE, 1, 1, peer.scaling(), true);
                peer.prepare(timer, a);
                Timing t = timer.time(RULE, 1, copy -> peer.launch(timer.stream(), a, copy));
                return 2.0 * LARGE * LARGE * LARGE / t.seconds();
            }
        }
    }

    /** The same with a peak raised where a product of the run was faster. */
    DeviceLimits raised(MathType type, double flops) {
        return flops(type) >= flops ? this
                : type == MathType.FP8 ? new DeviceLimits(copyBytes, readBytes, bf16Flops, flops, how)
                : new DeviceLimits(copyBytes, readBytes, flops, fp8Flops, how);
    }
}
