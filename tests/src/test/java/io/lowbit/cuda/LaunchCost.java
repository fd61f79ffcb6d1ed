package io.lowbit.cuda;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;

/** Prints the nanoseconds from the Java call to the launch returned, median of many, and of a whole host forward. */
final class LaunchCost {
    private LaunchCost() {}

    public static void main(String[] args) {
        try (CudaBackend backend = CudaBackend.open(0); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Mxfp4(), 4, 32, 1);
            Tensor hx = Schemes.normal(arena, DType.F32, 1, 1, 1, 32);
            Tensor hy = Tensor.allocate(arena, DType.F32, 1, 4);
            try (CudaLinear layer = backend.load(w); Stream stream = Stream.open(backend.context());
                    DeviceMemory memory = DeviceMemory.allocate(stream, 4096)) {
                DeviceTensor x = DeviceTensor.of(memory, DType.F32, 1, 32);
                DeviceTensor y = new DeviceTensor(DType.F32, hy.shape(), memory.address() + 2048);
                long[] launch = new long[50_000];
                for (int round = 0; round < 3; round++) {
                    for (int i = 0; i < launch.length; i++) {
                        long start = System.nanoTime();
                        layer.forward(stream, x, y);
                        launch[i] = System.nanoTime() - start;
                        if (i % 256 == 0) {
                            stream.synchronize();
                        }
                    }
                }
                long[] host = new long[20_000];
                for (int i = 0; i < host.length; i++) {
                    long start = System.nanoTime();
                    layer.forward(hx, hy);
                    host[i] = System.nanoTime() - start;
                }
                Arrays.sort(launch);
                Arrays.sort(host);
                System.out.println(backend.description());
                System.out.println("launch from Java, device tensors: median " + launch[launch.length / 2] + " ns, 10th percentile "
                        + launch[launch.length / 10] + " ns");
                System.out.println("forward with host tensors, upload, launch, download, wait: median " + host[host.length / 2] + " ns");
            }
        }
    }
}
