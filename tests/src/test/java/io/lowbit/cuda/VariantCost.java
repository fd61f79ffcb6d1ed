package io.lowbit.cuda;

import io.lowbit.backend.OddMatrices;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Event;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Prints the microseconds of INT4 products (g128, BF16 activations, cold weights, graph replays) that write y and that add to
 * it, with columns in order and by act-order. Arguments: shapes as NxK. x and y are zeros: to compare the variants with each
 * other, not with products of random numbers, which take more power.
 */
final class VariantCost {
    private static final Scheme.Int4 SCHEME = new Scheme.Int4(Grouping.group(128), true);
    private static final int[] ROWS = {1, 2, 4, 8, 16, 32, 64, 128, 256, 2048};
    /** More than the GPU's caches hold. */
    private static final long COLD_BYTES = 300_000_000;
    private static final int REPLAYS = 9;

    private VariantCost() {}

    public static void main(String[] args) {
        try (CudaBackend backend = CudaBackend.open(0); Stream stream = Stream.open(backend.context())) {
            System.out.println(backend.description());
            for (String shape : args) {
                String[] sizes = shape.split("x");
                for (boolean actOrder : new boolean[] {false, true}) {
                    shape(backend, stream, Long.parseLong(sizes[0]), Integer.parseInt(sizes[1]), actOrder);
                }
            }
        }
    }

    private static void shape(CudaBackend backend, Stream stream, long n, int k, boolean actOrder) {
        List<CudaLinear> layers = new ArrayList<>();
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = OddMatrices.actOrder(arena, SCHEME, n, k, true);
            layers.add(backend.load(actOrder ? w : QuantizedMatrix.int4(SCHEME, n, k, w.codes(), w.scales(), w.zeros())));
        }
        int copies = (int) Math.max(2, COLD_BYTES / layers.getFirst().bytes());
        while (layers.size() < copies) {
            layers.add(layers.getFirst().duplicate());
        }
        for (int m : ROWS) {
            try (DeviceMemory xs = DeviceMemory.allocate(stream, 2L * m * k); DeviceMemory ys = DeviceMemory.allocate(stream, 4L * m * n)) {
                stream.fill(xs.address(), (byte) 0, xs.bytes());
                stream.fill(ys.address(), (byte) 0, ys.bytes());
                DeviceTensor x = DeviceTensor.of(xs, DType.BF16, m, k);
                DeviceTensor y = DeviceTensor.of(ys, DType.BF16, m, n);
                DeviceTensor wide = DeviceTensor.of(ys, DType.F32, m, n);
                int launches = m > 256 ? 8 : 2 * copies;
                System.out.printf("[%d, %d]%s M=%d %s: y = %.2f, y += %.2f, f32 y += %.2f%n", n, k, actOrder ? " act-order" : "", m,
                        layers.getFirst().kernel(m, DType.BF16, DType.BF16).name(),
                        micros(stream, launches, i -> layers.get(i % copies).forward(stream, x, y)),
                        micros(stream, launches, i -> layers.get(i % copies).forwardAdd(stream, x, y)),
                        micros(stream, launches, i -> layers.get(i % copies).forwardAdd(stream, x, wide)));
            }
        }
        layers.forEach(CudaLinear::close);
    }

    /** The median of some replays, for one launch. */
    private static double micros(Stream stream, int launches, IntConsumer launch) {
        launch.accept(0);
        double[] micros = new double[REPLAYS];
        try (Event start = Event.open(stream.context()); Event end = Event.open(stream.context()); Graph graph = Graph.capture(stream, () -> {
            for (int i = 0; i < launches; i++) {
                launch.accept(i);
            }
        })) {
            graph.launch(stream);
            for (int i = 0; i < REPLAYS; i++) {
                start.record(stream);
                graph.launch(stream);
                end.record(stream);
                end.synchronize();
                micros[i] = end.millisecondsSince(start) * 1000 / launches;
            }
        }
        Arrays.sort(micros);
        return micros[REPLAYS / 2];
    }
}
