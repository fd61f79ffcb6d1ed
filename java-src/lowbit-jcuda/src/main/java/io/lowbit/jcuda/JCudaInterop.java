package io.lowbit.jcuda;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.IntSupplier;
import jcuda.NativePointerObject;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/**
 * Device memory and streams that Lowbit and JCuda share. Nothing is copied and nothing changes its owner: what JCuda made,
 * JCuda frees, after Lowbit's work with it is done; what Lowbit made must not be destroyed or freed through JCuda.
 *
 * <p>Both must work in the GPU's primary context. Lowbit always does; JCuda does after {@code cuDevicePrimaryCtxRetain}
 * and {@code cuCtxSetCurrent}, or through its runtime API, but not after {@code cuCtxCreate}. {@link #context} gives
 * Lowbit's as JCuda's.
 *
 * <p>JCuda loads its native library when its {@code JCudaDriver} is first used; the methods here that need it say so, and
 * throw {@link BackendUnavailableException} where it cannot be loaded. It needs {@code libcuda.so.1} and no CUDA toolkit.
 */
public final class JCudaInterop {
    private JCudaInterop() {}

    /**
     * JCuda's device memory as a tensor. Needs no native library.
     *
     * @param pointer where the tensor begins
     * @param dtype F32, F16 or BF16
     * @param dims dimensions, slowest first; the memory must hold them, which is not checked
     * @throws IllegalArgumentException when the pointer is null or not aligned to the type
     */
    public static DeviceTensor tensor(CUdeviceptr pointer, DType dtype, long... dims) {
        return new DeviceTensor(dtype, Shape.of(dims), address(pointer));
    }

    /**
     * The {@code CUdeviceptr} as a number, its byte offset included. Needs no native library.
     *
     * @throws IllegalArgumentException when the pointer is null
     */
    public static long address(CUdeviceptr pointer) {
        long address = Handles.of(pointer);
        if (address == 0) {
            throw new IllegalArgumentException("the CUdeviceptr is null; allocate it first, for example with cuMemAlloc");
        }
        return address;
    }

    /** Lowbit's device memory as JCuda's, to be used while {@code memory} is open. Needs no native library. */
    public static CUdeviceptr pointer(DeviceMemory memory) {
        return pointer(memory.address());
    }

    /** Where a tensor begins. Needs no native library. */
    public static CUdeviceptr pointer(DeviceTensor tensor) {
        return pointer(tensor.address());
    }

    /** A device address as JCuda's. Needs no native library. */
    public static CUdeviceptr pointer(long address) {
        // JCuda adds the two wherever it hands a pointer to CUDA; its objects take no address, but an offset to null.
        return new CUdeviceptr().withByteOffset(address);
    }

    /**
     * JCuda's stream as Lowbit's, to launch layers on. The stream stays JCuda's: close the result, then destroy it there.
     * Needs JCuda's native library unless the stream is the default one.
     *
     * @param stream a stream of {@code context}; one that was never set is the default stream
     * @throws IllegalArgumentException when the stream belongs to another context
     */
    public static Stream stream(Context context, CUstream stream) {
        long handle = Handles.of(stream);
        if (isStream(handle)) {
            CUcontext its = new CUcontext();
            bound(context, "cuStreamGetCtx", () -> JCudaDriver.cuStreamGetCtx(stream, its));
            if (Handles.of(its) != Handles.of(context(context))) {
                throw new IllegalArgumentException("the CUstream belongs to another context than Lowbit's, the primary one of "
                        + context.device().name() + "; create it there (cuDevicePrimaryCtxRetain and cuCtxSetCurrent before cuStreamCreate)");
            }
        }
        return Stream.external(context, handle);
    }

    /** False for the default stream (0) and its two names (1, legacy; 2, of each thread), which have any context. */
    private static boolean isStream(long handle) {
        return handle < 0 || handle > 2;
    }

    /**
     * Lowbit's stream as JCuda's, to be used while {@code stream} is open; never to be destroyed through JCuda. For set-up
     * time: it copies eight bytes through the device. Needs JCuda's native library.
     */
    public static CUstream stream(Stream stream) {
        CUstream theirs = new CUstream();
        if (stream.handle() != 0) {
            fill(stream.context(), theirs, stream.handle());
        }
        return theirs;
    }

    /** Lowbit's context as JCuda's: the primary one, for {@code cuCtxSetCurrent}. Needs JCuda's native library. */
    public static CUcontext context(Context context) {
        CUcontext theirs = new CUcontext();
        bound(context, "cuCtxGetCurrent", () -> JCudaDriver.cuCtxGetCurrent(theirs));
        return theirs;
    }

    /**
     * Sets an object of JCuda's to a handle. Its classes have no public constructor for that, but JCuda writes handles
     * back when CUDA has changed an array of them that a call was given: here a copy from the device.
     */
    private static void fill(Context context, NativePointerObject object, long handle) {
        try (Stream copies = Stream.open(context); DeviceMemory word = DeviceMemory.allocate(copies, Long.BYTES);
                Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocateFrom(ValueLayout.JAVA_LONG, handle);
            copies.upload(word.address(), value, Long.BYTES);
            copies.synchronize();
            CUdeviceptr from = pointer(word);
            bound(context, "cuMemcpyDtoH", () -> JCudaDriver.cuMemcpyDtoH(Pointer.to(object), from, Long.BYTES));
        }
        if (Handles.of(object) != handle) {
            throw new IllegalStateException("JCuda did not take the handle over; Lowbit knows JCuda 12.6");
        }
    }

    /** Runs one call of JCuda's in the context. */
    private static void bound(Context context, String name, IntSupplier call) {
        int[] result = {CUresult.CUDA_SUCCESS};
        context.bound(() -> {
            try {
                result[0] = call.getAsInt();
            } catch (UnsatisfiedLinkError | NoClassDefFoundError e) {
                // Its text is a page with two stack traces, and that of a second attempt says nothing.
                throw new BackendUnavailableException("JCuda's native library cannot be loaded; put org.jcuda:jcuda-natives of the same "
                        + "version and this platform on the class path, and use no JCuda that has failed before", e);
            }
        });
        if (result[0] != CUresult.CUDA_SUCCESS) {
            throw new IllegalStateException(name + " through JCuda: " + CUresult.stringFor(result[0])
                    + "; the context, the stream or the pointer is not usable");
        }
    }
}
