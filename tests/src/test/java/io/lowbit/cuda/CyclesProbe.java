package io.lowbit.cuda;

import io.lowbit.backend.OddMatrices;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.DeviceOutOfMemoryException;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/** Opens and closes everything the driver layer owns and prints how much memory it was; run in a JVM of its own on a fake driver. */
final class CyclesProbe {
    private CyclesProbe() {}

    public static void main(String[] args) {
        try (Arena arena = Arena.ofShared(); CudaBackend backend = CudaBackend.open(0)) {
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Int4(Grouping.group(64), false), 64, 128, 1);
            Tensor x = Schemes.normal(arena, DType.BF16, 2, 1, 3, 128);
            Tensor y = Tensor.allocate(arena, DType.F32, 3, 64);
            cycle(backend, w, x, y);
            long before = backend.context().freeBytes();
            for (int i = 0; i < 1000; i++) {
                cycle(backend, w, x, y);
            }
            System.out.println("1000 cycles changed free memory by " + (backend.context().freeBytes() - before));
            try {
                backend.context().allocate(1L << 40);
            } catch (DeviceOutOfMemoryException e) {
                System.out.println(e.getMessage());
            }
            System.out.println("running out of memory changed free memory by " + (backend.context().freeBytes() - before));
            cycle(backend, w, x, y);
            QuantizedMatrix ordered = OddMatrices.actOrder(arena, new Scheme.Int4(Grouping.group(64), false), 64, 128, true);
            cycle(backend, ordered, Tensor.allocate(arena, DType.BF16, 20, 128), Tensor.allocate(arena, DType.F32, 20, 64));
            before = backend.context().freeBytes();
            for (int i = 0; i < 100; i++) {
                cycle(backend, ordered, Tensor.allocate(arena, DType.BF16, 20, 128), Tensor.allocate(arena, DType.F32, 20, 64));
            }
            System.out.println("100 cycles with act-order changed free memory by " + (backend.context().freeBytes() - before));
            // Left open: the backend closes it.
            backend.load(w);
        }
    }

    private static void cycle(CudaBackend backend, QuantizedMatrix w, Tensor x, Tensor y) {
        try (CudaLinear layer = backend.load(w); Stream stream = Stream.open(backend.context());
                DeviceMemory memory = DeviceMemory.allocate(stream, 16384)) {
            layer.forward(x, y);
            layer.forwardAdd(x, y);
            DeviceTensor dx = new DeviceTensor(DType.BF16, x.shape(), memory.address());
            DeviceTensor dy = new DeviceTensor(DType.F32, y.shape(), memory.address() + 8192);
            try (Graph graph = Graph.capture(stream, () -> layer.forward(stream, dx, dy))) {
                graph.launch(stream);
            }
        }
    }
}
