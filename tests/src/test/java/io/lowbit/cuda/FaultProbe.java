package io.lowbit.cuda;

import io.lowbit.cuda.driver.CudaException;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/** Makes a kernel read an address that is not there and prints what later calls say; run in a JVM of its own. */
final class FaultProbe {
    private FaultProbe() {}

    public static void main(String[] args) {
        try (Arena arena = Arena.ofShared(); CudaBackend backend = CudaBackend.open(0)) {
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Mxfp4(), 8, 32, 1);
            CudaLinear layer = backend.load(w);
            Stream stream = Stream.open(backend.context());
            Tensor x = Tensor.allocate(arena, DType.F32, 1, 32);
            Tensor y = Tensor.allocate(arena, DType.F32, 1, 8);
            layer.forward(x, y);
            DeviceTensor nowhere = new DeviceTensor(DType.F32, Shape.of(1, 32), 0x1000);
            DeviceTensor out = new DeviceTensor(DType.F32, Shape.of(1, 8), 0x2000);
            print(() -> {
                layer.forward(stream, nowhere, out);
                stream.synchronize();
            });
            print(() -> layer.forward(x, y));
            print(() -> backend.load(w));
            print(stream::synchronize);
            stream.close();
            layer.close();
            System.out.println("closed");
        }
        System.out.println("done");
    }

    private static void print(Runnable call) {
        try {
            call.run();
            System.out.println("no error");
        } catch (CudaException e) {
            System.out.println(e.name() + " " + e.number() + (e.getCause() instanceof CudaException first ? " first " + first.name() : ""));
        }
    }
}
