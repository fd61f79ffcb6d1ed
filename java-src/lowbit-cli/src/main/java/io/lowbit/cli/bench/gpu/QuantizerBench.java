package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.CudaLinear;
import io.lowbit.cuda.DeviceMatrix;
import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntConsumer;

/**
 * Times the quantizers of activations, alone and fused with the step before, and one graph of each with the FP8 product [K, K] that
 * follows. All from and to memory that the L2 cache no longer holds; beside each a device copy that moves as many bytes.
 */
public final class QuantizerBench implements AutoCloseable {
    private static final long COLD = 256L << 20;
    private static final int MOST_COPIES = 64;
    private static final int LAYERS = 8;
    private static final TimingRule RULE = new TimingRule(20, 0.3e6, 0, 2e6, false, 20e6);

    /** What makes the values that are quantized. */
    public enum Before {
        NOTHING, NORM, GATE
    }

    /** One line of the table. */
    public record Kind(Before before, ActivationScaling scaling) {}

    /** Those that are timed. */
    public static final List<Kind> KINDS = List.of(
            new Kind(Before.NOTHING, ActivationScaling.TENSOR), new Kind(Before.NOTHING, ActivationScaling.ROW),
            new Kind(Before.NOTHING, ActivationScaling.BLOCK128), new Kind(Before.NOTHING, ActivationScaling.ROW_E5M2),
            new Kind(Before.NOTHING, ActivationScaling.ROW_INT8), new Kind(Before.NORM, ActivationScaling.ROW),
            new Kind(Before.NORM, ActivationScaling.BLOCK128), new Kind(Before.GATE, ActivationScaling.ROW),
            new Kind(Before.GATE, ActivationScaling.BLOCK128));

    /**
     * @param bytes read and written at least: inputs once, codes and scales once
     * @param nanos the quantizer
     * @param copyNanos a device copy that reads and writes as many bytes together
     * @param productNanos the product [K, K] alone; NaN where there is none for these activations
     * @param bothNanos the quantizer and the product
     * @param codesNanos the product alone with y in E4M3
     */
    public record Result(Kind kind, long m, long k, long bytes, double nanos, double copyNanos, double productNanos, double bothNanos,
            double codesNanos) {}

    private final CudaBackend backend;
    private final BenchKernels kernels;
    private final GraphTimer timer;

    public QuantizerBench(CudaBackend backend) {
        this.backend = backend;
        this.kernels = new BenchKernels(backend.context());
        this.timer = new GraphTimer(backend.context());
    }

    /**
     * Times all kinds.
     *
     * @param type of the inputs
     * @param each is told each result at once
     */
    public void run(List<Integer> ms, List<Integer> ks, DType type, Consumer<Result> each) {
        for (int k : ks) {
            List<CudaLinear> channel = layers(k, Grouping.CHANNEL);
            List<CudaLinear> block = layers(k, Grouping.block(128, 128));
            try {
                for (int m : ms) {
                    for (Kind kind : KINDS) {
                        each.accept(time(kind, m, k, type, kind.scaling().blocks() ? block : channel));
                    }
                }
            } finally {
                channel.forEach(CudaLinear::close);
                block.forEach(CudaLinear::close);
            }
        }
    }

    private List<CudaLinear> layers(long k, Grouping grouping) {
        List<CudaLinear> layers = new ArrayList<>();
        try (DeviceMemory memory = backend.context().allocate(2 * k * k)) {
            DeviceTensor weights = DeviceTensor.of(memory, DType.BF16, k, k);
            kernels.normal(timer.stream(), weights, 1, 0.02f);
            timer.stream().synchronize();
            try (DeviceMatrix matrix = backend.quantize(weights, new Scheme.Fp8(Scheme.Fp8Format.E4M3, grouping), QuantizeOptions.DEFAULT)) {
                layers.add(backend.load(matrix, null));
            }
        }
        while (layers.size() < LAYERS) {
            layers.add(layers.getFirst().duplicate());
        }
        return layers;
    }

    private Result time(Kind kind, long m, long k, DType type, List<CudaLinear> layers) {
        CudaLinear first = layers.getFirst();
        long inputs = (kind.before() == Before.GATE ? 2 : 1) * type.byteSize(m * k);
        long scales = 4 * (kind.scaling().tensor() ? 1 : kind.scaling().blocks() ? m * (k / 128) : m);
        long bytes = inputs + (kind.before() == Before.NORM ? 4 * k : 0) + m * k + scales;
        int copies = (int) Math.clamp(COLD / bytes + 1, 2, MOST_COPIES);
        Stream stream = timer.stream();
        try (Buffer xs = new Buffer(backend.context()); Buffer ys = new Buffer(backend.context());
                DeviceMemory norm = backend.context().allocate(4 * k); Copied codes = new Copied(backend, copies, first.workspaceBytes(m));
                Copied outs = new Copied(backend, copies, first.outputBytes(m))) {
            DeviceTensor weight = DeviceTensor.of(norm, DType.F32, k);
            kernels.normal(stream, weight, 2, 1f);
            DeviceTensor[] x = new DeviceTensor[copies];
            DeviceTensor[] up = new DeviceTensor[copies];
            DeviceTensor[] y = new DeviceTensor[copies];
            long step = type.byteSize(m * k);
            for (int i = 0; i < copies; i++) {
                x[i] = new DeviceTensor(type, Shape.of(m, k), xs.reserve(2 * copies * step) + 2 * i * step);
                up[i] = new DeviceTensor(type, Shape.of(m, k), x[i].address() + step);
                y[i] = new DeviceTensor(type, Shape.of(m, k), ys.reserve(copies * step) + i * step);
                kernels.normal(stream, x[i], 3 + i, 1f);
                kernels.normal(stream, up[i], 103 + i, 1f);
            }
            IntConsumer quantize = i -> {
                switch (kind.before()) {
                    case NOTHING -> first.activations().quantize(stream, x[i], kind.scaling(), codes.of(i));
                    case NORM -> first.activations().quantizeNormed(stream, x[i], weight, 1e-5f, kind.scaling(), codes.of(i), null);
                    case GATE -> first.activations().quantizeGated(stream, x[i], up[i], kind.scaling(), codes.of(i), null);
                }
            };
            double alone = nanos(copies, quantize);
            // Half of the bytes are read, half written; they come from x and go to y, both of which have them.
            long half = Math.min(bytes / 2, step);
            double copy = nanos(copies, i -> stream.copy(y[i].address(), x[i].address(), half)) * bytes / (2.0 * half);
            if (first.kernel(m, type, type, kind.scaling(), Accumulation.FAST) == null) {
                return new Result(kind, m, k, bytes, alone, copy, Double.NaN, Double.NaN, Double.NaN);
            }
            int turns = Math.max(copies, layers.size());
            IntConsumer multiply = i ->
                    layers.get(i % layers.size()).multiply(stream, codes.of(i % copies), y[i % copies], kind.scaling(), Accumulation.FAST);
            double product = nanos(turns, multiply);
            double both = nanos(turns, i -> {
                quantize.accept(i % copies);
                multiply.accept(i);
            });
            double coded = nanos(turns, i -> layers.get(i % layers.size()).multiplyQuantized(stream, codes.of(i % copies), m, kind.scaling(),
                    Accumulation.FAST, outs.of(i % copies), ActivationScaling.TENSOR, 0.01f));
            return new Result(kind, m, k, bytes, alone, copy, product, both, coded);
        }
    }

    private double nanos(int copies, IntConsumer launch) {
        return timer.time(RULE, copies, launch).nanos().median();
    }

    /** Device memory for the activations of each copy. */
    private static final class Copied implements AutoCloseable {
        private final List<DeviceMemory> memory = new ArrayList<>();

        Copied(CudaBackend backend, int copies, long bytes) {
            for (int i = 0; i < copies; i++) {
                memory.add(backend.context().allocate(bytes));
            }
        }

        DeviceMemory of(int copy) {
            return memory.get(copy);
        }

        @Override
        public void close() {
            memory.forEach(DeviceMemory::close);
        }
    }

    @Override
    public void close() {
        timer.close();
        kernels.close();
    }
}
