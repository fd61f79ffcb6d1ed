package io.lowbit.cuda;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.Kernels;
import io.lowbit.cuda.kernels.MatrixArgument;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.jcuda.JCudaInterop;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.function.Supplier;
import jcuda.Pointer;
import jcuda.driver.CUstream;

/**
 * Prints the nanoseconds from the Java call to the launch returned, of one small kernel: through a layer, through
 * Lowbit's driver layer, and through JCuda; and of a whole forward with host tensors. Lowbit binds the context to the
 * thread for every launch and unbinds it, JCuda's caller has bound it once.
 */
final class LaunchCost {
    private static final int LAUNCHES = 20_000;

    private LaunchCost() {}

    public static void main(String[] args) {
        try (CudaBackend backend = CudaBackend.open(0, null, KernelChoice.always("gemv")); Arena arena = Arena.ofShared()) {
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Mxfp4(), 4, 32, 1);
            Tensor hx = Schemes.normal(arena, DType.F32, 1, 1, 1, 32);
            Tensor hy = Tensor.allocate(arena, DType.F32, 1, 4);
            Architecture architecture = Architecture.of(backend.context().device());
            String resource = Kernels.resource("gemv", architecture);
            String name = architecture.prefix() + "_gemv_" + CanonicalLayout.INSTANCE.suffix(w.scheme());
            MatrixShape shape = MatrixShape.of(w);
            MemorySegment packed = arena.allocate(CanonicalLayout.INSTANCE.bytes(shape), 64);
            CanonicalLayout.INSTANCE.pack(w, packed);
            try (CudaLinear layer = backend.load(w); Stream stream = Stream.open(backend.context());
                    Kernels kernels = new Kernels(backend.context(), architecture);
                    DeviceMemory memory = DeviceMemory.allocate(stream, 4096);
                    DeviceMemory weights = DeviceMemory.allocate(stream, packed.byteSize())) {
                DeviceTensor x = DeviceTensor.of(memory, DType.F32, 1, 32);
                DeviceTensor y = new DeviceTensor(DType.F32, hy.shape(), memory.address() + 2048);
                stream.upload(weights.address(), packed, packed.byteSize());
                stream.synchronize();
                MemorySegment matrix = arena.allocate(MatrixArgument.BYTES, 8);
                CanonicalLayout.INSTANCE.describe(shape, weights.address(), matrix);
                int f32 = ElementTypes.of(DType.F32);
                Function function = kernels.function("gemv", "gemv_" + CanonicalLayout.INSTANCE.suffix(w.scheme()));
                System.out.println(backend.description() + ", " + name + ", nanoseconds from the call to the launch returned:");
                print("Lowbit, CudaLinear.forward on device tensors", stream, () -> layer.forward(stream, x, y));
                print("Lowbit, Stream.launch with its arguments", stream, () -> {
                    stream.arguments().struct(matrix).int64(x.address()).int32(f32).int64(y.address()).int32(f32).int64(0).int32(0).int64(1);
                    stream.launch(function, 1, 1, 128, 0);
                });
                backend.context().bound(() -> {
                    CUstream theirStream = JCudaInterop.stream(stream);
                    try (JCudaKernel theirs = new JCudaKernel(resource, name)) {
                        Supplier<Pointer> arguments = () -> JCudaKernel.arguments(JCudaKernel.struct(matrix), JCudaKernel.int64(x.address()),
                                JCudaKernel.int32(f32), JCudaKernel.int64(y.address()), JCudaKernel.int32(f32), JCudaKernel.int64(0),
                                JCudaKernel.int32(0), JCudaKernel.int64(1));
                        Pointer once = arguments.get();
                        print("JCuda, cuLaunchKernel with arguments made before", stream, () -> theirs.launch(theirStream, 1, 1, 128, once));
                        print("JCuda, cuLaunchKernel with its arguments", stream, () -> theirs.launch(theirStream, 1, 1, 128, arguments.get()));
                    }
                });
                print("Lowbit, forward with host tensors: upload, launch, download, wait", stream, () -> layer.forward(hx, hy));
            }
        }
    }

    /** Three rounds; the last one counts. */
    private static void print(String what, Stream stream, Runnable launch) {
        long[] times = new long[LAUNCHES];
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < times.length; i++) {
                long start = System.nanoTime();
                launch.run();
                times[i] = System.nanoTime() - start;
                if (i % 256 == 0) {
                    stream.synchronize();
                }
            }
        }
        Arrays.sort(times);
        System.out.printf("  %-66s median %6d, 10th percentile %6d%n", what, times[times.length / 2], times[times.length / 10]);
    }
}
