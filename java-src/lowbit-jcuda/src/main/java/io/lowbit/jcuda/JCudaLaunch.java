package io.lowbit.jcuda;

import io.lowbit.cuda.driver.LaunchPath;
import io.lowbit.cuda.driver.Stream;
import java.util.Arrays;
import jcuda.NativePointerObject;
import jcuda.Pointer;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/** One kernel, loaded by JCuda, whose argument list is made anew for each launch, as programs do that use JCuda. */
final class JCudaLaunch implements LaunchPath.Launch {
    private final CUmodule module = new CUmodule();
    private final CUfunction function = new CUfunction();
    private final CUstream stream;
    private final int blocks;
    private final int threads;
    private final Number[] arguments;

    JCudaLaunch(Stream stream, byte[] ptx, String kernel, int blocks, int threads, Number[] arguments) {
        this.stream = JCudaInterop.stream(stream);
        this.blocks = blocks;
        this.threads = threads;
        this.arguments = arguments.clone();
        check(JCudaDriver.cuModuleLoadData(module, Arrays.copyOf(ptx, ptx.length + 1)), "cuModuleLoadData");
        check(JCudaDriver.cuModuleGetFunction(function, module, kernel), "cuModuleGetFunction");
    }

    private static void check(int result, String call) {
        if (result != CUresult.CUDA_SUCCESS) {
            throw new IllegalStateException(call + " through JCuda: " + CUresult.stringFor(result));
        }
    }

    private static Pointer pointer(Number value) {
        return value instanceof Integer i ? Pointer.to(new int[] {i}) : Pointer.to(new long[] {value.longValue()});
    }

    @Override
    public void run() {
        NativePointerObject[] values = new NativePointerObject[arguments.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = pointer(arguments[i]);
        }
        check(JCudaDriver.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, stream, Pointer.to(values), null), "cuLaunchKernel");
    }

    @Override
    public void close() {
        JCudaDriver.cuModuleUnload(module);
    }
}
