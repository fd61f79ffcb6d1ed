package io.lowbit.cli.bench.gpu;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.cli.bench.Samples;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.CudaLinear;
import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.LaunchPath;
import io.lowbit.cuda.driver.Module;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceLoader;

/**
 * What it costs Java to add work to a stream, until the call returns: a forward, a graph of forwards, a bare launch, and
 * the same launch through other libraries that are on the class path ({@link LaunchPath}). The work itself is tiny, so that
 * the device never holds the queue up.
 */
public final class DispatchCost {
    /** Forwards of the graph that is launched as a whole. */
    public static final int GRAPH = 64;

    private static final int N = 64;
    private static final int K = 256;
    private static final int CALLS = 200;
    private static final int SAMPLES = 100;
    private static final int ROUNDS = 3;
    private static final String KERNEL = "bench_first_nan";

    /**
     * One way.
     *
     * @param what it is
     * @param nanos of one call, or of one forward of a graph; null where it could not be measured
     * @param absence why not; null where it was
     */
    public record Cost(String what, Samples nanos, String absence) {}

    private DispatchCost() {}

    /** Measures all ways; takes about a second. */
    static List<Cost> measure(CudaBackend backend) {
        Context context = backend.context();
        List<Cost> costs = new ArrayList<>();
        Architecture architecture = Architecture.of(context.device());
        byte[] ptx = BenchKernels.ptx("bench." + architecture.target() + ".ptx");
        String kernel = architecture.prefix() + "_" + KERNEL;
        try (Arena arena = Arena.ofShared(); Stream stream = Stream.open(context); DeviceMemory memory = context.allocate(1 << 16)) {
            Tensor weights = Tensor.allocate(arena, DType.F32, N, K);
            for (int i = 0; i < N * K; i++) {
                weights.setFloat(i, (i % 15 - 7) * 0.01f);
            }
            QuantizedMatrix matrix = Quantizer.quantize(weights, new Scheme.Mxfp4(), QuantizeOptions.DEFAULT, arena);
            DeviceTensor x = DeviceTensor.of(memory, DType.BF16, 1, K);
            DeviceTensor y = new DeviceTensor(DType.BF16, io.lowbit.tensor.Shape.of(1, N), memory.address() + (1 << 15));
            stream.fill(memory.address(), (byte) 0, memory.bytes());
            try (CudaLinear layer = backend.load(matrix)) {
                costs.add(new Cost("forward", time(stream, () -> layer.forward(stream, x, y), 1), null));
                try (Graph graph = Graph.capture(stream, () -> {
                    for (int i = 0; i < GRAPH; i++) {
                        layer.forward(stream, x, y);
                    }
                })) {
                    costs.add(new Cost("forward in a graph of " + GRAPH, time(stream, () -> graph.launch(stream), GRAPH), null));
                }
            }
            long word = memory.address() + (1 << 14);
            try (Module module = Module.load(context, "bench", ptx)) {
                Function function = module.function(kernel);
                costs.add(new Cost("launch, Lowbit's driver layer", time(stream, () -> {
                    stream.arguments().int64(x.address()).int32(2).int64(K).int64(word);
                    stream.launch(function, 1, 1, 256, 0);
                }, 1), null));
            }
            for (LaunchPath path : ServiceLoader.load(LaunchPath.class)) {
                context.bound(() -> {
                    String what = "launch, " + path.name();
                    try (LaunchPath.Launch launch = path.prepare(stream, ptx, kernel, 1, 256, x.address(), 2, (long) K, word)) {
                        costs.add(new Cost(what, time(stream, launch::run, 1), null));
                    } catch (BackendUnavailableException | IllegalStateException e) {
                        costs.add(new Cost(what, null, e.getMessage()));
                    }
                });
            }
        }
        return costs;
    }

    /** Each sample is the mean of {@link #CALLS} calls; the last of a few rounds counts, when the compiler is done. */
    private static Samples time(Stream stream, Runnable call, int parts) {
        double[] samples = new double[SAMPLES];
        for (int round = 0; round < ROUNDS; round++) {
            for (int i = 0; i < SAMPLES; i++) {
                stream.synchronize();
                int calls = Math.max(1, CALLS / parts);
                long start = System.nanoTime();
                for (int j = 0; j < calls; j++) {
                    call.run();
                }
                samples[i] = (double) (System.nanoTime() - start) / calls / parts;
            }
        }
        stream.synchronize();
        return Samples.of(samples);
    }
}
