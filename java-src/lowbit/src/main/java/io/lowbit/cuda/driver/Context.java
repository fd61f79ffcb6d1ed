package io.lowbit.cuda.driver;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.atomic.AtomicReference;

/**
 * The primary context of one GPU, retained: the same that CUDA's run time and other libraries in the process use.
 * Everything made from it keeps it alive; it is given back when it and all of that are closed.
 *
 * <p>After an error that CUDA does not recover from (a kernel that faulted, say) every later call fails at once with the
 * first such error as its cause.
 */
public final class Context extends Owner {
    private final DeviceInfo device;
    private final int handleOfDevice;
    private final MemorySegment handle;
    private final MemorySegment pool;
    private final MemorySegment popped;
    private final Arena arena;
    private final AtomicReference<CudaException> broken = new AtomicReference<>();
    private final Stream service;

    private Context(DeviceInfo device, int handleOfDevice, MemorySegment handle, MemorySegment pool) {
        super("the CUDA context");
        this.device = device;
        this.handleOfDevice = handleOfDevice;
        this.handle = handle;
        this.pool = pool;
        this.arena = Arena.ofShared();
        this.popped = arena.allocate(ValueLayout.ADDRESS);
        this.service = new Stream(this);
    }

    /**
     * Retains the primary context of GPU {@code ordinal}.
     *
     * @throws BackendUnavailableException when there is no driver or no such GPU, or the context cannot be made
     */
    public static Context open(int ordinal) {
        Driver driver = Driver.get();
        int count = driver.deviceCount();
        if (count == 0) {
            throw new BackendUnavailableException("the NVIDIA driver shows no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --backend cpu");
        }
        if (ordinal < 0 || ordinal >= count) {
            throw new BackendUnavailableException("GPU " + ordinal + " is not there: the NVIDIA driver shows " + count
                    + ", numbered from 0; choose one of them");
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.JAVA_LONG);
            expect(Cuda.cuDeviceGet(out, ordinal), "cuDeviceGet");
            int dev = out.get(ValueLayout.JAVA_INT, 0);
            MemorySegment name = arena.allocate(256);
            expect(Cuda.cuDeviceGetName(name, 256, dev), "cuDeviceGetName");
            expect(Cuda.cuDeviceTotalMem_v2(out, dev), "cuDeviceTotalMem");
            long memory = out.get(ValueLayout.JAVA_LONG, 0);
            DeviceInfo info = new DeviceInfo(ordinal, name.getString(0),
                    attribute(out, Cuda.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR(), dev),
                    attribute(out, Cuda.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR(), dev),
                    attribute(out, Cuda.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT(), dev), memory,
                    attribute(out, Cuda.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE(), dev), driver.version());
            if (attribute(out, Cuda.CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED(), dev) == 0) {
                throw new BackendUnavailableException(info + " has no stream-ordered memory in this driver; update the driver, or use --backend cpu");
            }
            expect(Cuda.cuDeviceGetDefaultMemPool(out, dev), "cuDeviceGetDefaultMemPool");
            MemorySegment pool = out.get(ValueLayout.ADDRESS, 0);
            int result = Cuda.cuDevicePrimaryCtxRetain(out, dev);
            if (result != Cuda.CUDA_SUCCESS()) {
                CudaException e = Errors.of(result, "cuDevicePrimaryCtxRetain", null);
                throw new BackendUnavailableException(info + " gives no context: " + e.getMessage(), e);
            }
            try {
                return new Context(info, dev, out.get(ValueLayout.ADDRESS, 0), pool);
            } catch (CudaException e) {
                Cuda.cuDevicePrimaryCtxRelease_v2(dev);
                throw e;
            }
        }
    }

    /** The GPU. */
    public DeviceInfo device() {
        return device;
    }

    /** The GPU's place on the PCI bus, by which other libraries know it, for example {@code 0000:01:00.0}. */
    public String pciBusId() {
        requireOpen();
        try (Arena local = Arena.ofConfined()) {
            MemorySegment out = local.allocate(32);
            check(Cuda.cuDeviceGetPCIBusId(out, 32, handleOfDevice), "cuDeviceGetPCIBusId");
            return out.getString(0);
        }
    }

    /**
     * Runs {@code work} with the context bound to this thread: for other libraries, which work in whatever context is
     * current. Their errors stay theirs.
     */
    public void bound(Runnable work) {
        requireOpen();
        enter();
        try {
            work.run();
        } finally {
            exit();
        }
    }

    /** Waits for all work of the context. */
    public void synchronize() {
        enter();
        try {
            check(Cuda.cuCtxSynchronize(), "cuCtxSynchronize");
        } finally {
            exit();
        }
    }

    /** Bytes of device memory that are free now, after what CUDA keeps for later has been given back. */
    public long freeBytes() {
        try (Arena local = Arena.ofConfined()) {
            MemorySegment free = local.allocate(ValueLayout.JAVA_LONG);
            MemorySegment total = local.allocate(ValueLayout.JAVA_LONG);
            enter();
            try {
                check(Cuda.cuCtxSynchronize(), "cuCtxSynchronize");
                check(Cuda.cuMemPoolTrimTo(pool, 0), "cuMemPoolTrimTo");
                check(Cuda.cuMemGetInfo_v2(free, total), "cuMemGetInfo");
            } finally {
                exit();
            }
            return free.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    /**
     * Device memory that any stream may use from now on. To be closed when no stream uses it any more.
     *
     * @throws DeviceOutOfMemoryException when it does not fit; nothing has changed then
     */
    public DeviceMemory allocate(long bytes) {
        DeviceMemory memory = new DeviceMemory(service, bytes);
        service.synchronize();
        return memory;
    }

    /** The context's own stream, on which it allocates and frees. */
    Stream service() {
        return service;
    }

    /** The first error that broke the context, or null. */
    public CudaException broken() {
        return broken.get();
    }

    /** Binds the context to this thread; {@link #exit} must follow, with no lock taken in between. */
    void enter() {
        CudaException first = broken.get();
        if (first != null) {
            throw Errors.poisoned(first);
        }
        check(Cuda.cuCtxPushCurrent_v2(handle), "cuCtxPushCurrent");
    }

    /** Unbinds it. Its result is not checked: it fails only where the call before it has failed. */
    void exit() {
        Cuda.cuCtxPopCurrent_v2(popped);
    }

    void check(int result, String call) {
        if (result != 0) {
            throw failure(result, call, null);
        }
    }

    CudaException failure(int result, String call, String detail) {
        CudaException e = Errors.of(result, call, detail);
        if (Errors.sticky(result) && !broken.compareAndSet(null, e)) {
            return Errors.poisoned(broken.get());
        }
        return e;
    }

    /** Runs a call that frees something; in a broken context there is nothing left to free. */
    void free(FreeCall call, String name) {
        if (broken.get() != null) {
            return;
        }
        enter();
        try {
            check(call.run(), name);
        } finally {
            exit();
        }
    }

    /** A driver call that gives something back. */
    @FunctionalInterface
    interface FreeCall {
        int run();
    }

    @Override
    protected void free() {
        service.close();
        int result = Cuda.cuDevicePrimaryCtxRelease_v2(handleOfDevice);
        arena.close();
        if (result != 0 && broken.get() == null) {
            throw Errors.of(result, "cuDevicePrimaryCtxRelease", null);
        }
    }

    private static int attribute(MemorySegment out, int attribute, int device) {
        expect(Cuda.cuDeviceGetAttribute(out, attribute, device), "cuDeviceGetAttribute");
        return out.get(ValueLayout.JAVA_INT, 0);
    }

    private static void expect(int result, String call) {
        if (result != 0) {
            throw Errors.of(result, call, null);
        }
    }
}
