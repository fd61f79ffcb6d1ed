package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.cuda.kernels.Kernels;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jcuda.NativePointerObject;
import jcuda.Pointer;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/** A kernel of a PTX resource in Lowbit's jar, loaded and launched by JCuda alone, in the context that is current. */
final class JCudaKernel implements AutoCloseable {
    private final CUmodule module = new CUmodule();
    private final CUfunction function = new CUfunction();

    JCudaKernel(String resource, String name) {
        byte[] ptx = Kernels.ptx(resource);
        check(JCudaDriver.cuModuleLoadData(module, Arrays.copyOf(ptx, ptx.length + 1)));
        check(JCudaDriver.cuModuleGetFunction(function, module, name));
    }

    /** One argument list: pointers to the values. The values may be changed between launches. */
    static Pointer arguments(NativePointerObject... values) {
        return Pointer.to(values);
    }

    /** A structure by value. */
    static Pointer struct(MemorySegment bytes) {
        return Pointer.to(bytes.asByteBuffer());
    }

    static Pointer int64(long value) {
        return Pointer.to(new long[] {value});
    }

    static Pointer int32(int value) {
        return Pointer.to(new int[] {value});
    }

    void launch(CUstream stream, long gridX, long gridY, int threads, Pointer arguments) {
        check(JCudaDriver.cuLaunchKernel(function, (int) gridX, (int) gridY, 1, threads, 1, 1, 0, stream, arguments, null));
    }

    static void check(int result) {
        assertEquals(CUresult.CUDA_SUCCESS, result, () -> CUresult.stringFor(result));
    }

    @Override
    public void close() {
        check(JCudaDriver.cuModuleUnload(module));
    }
}
