package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.MemorySegment;

/** A kernel of a module; it lives as long as the module. */
public final class Function {
    // CUfunction_attribute
    private static final int NON_PORTABLE_CLUSTER_SIZE_ALLOWED = 14;

    private final Module module;
    private final String name;
    private final MemorySegment handle;

    Function(Module module, String name, MemorySegment handle) {
        this.module = module;
        this.name = name;
        this.handle = handle;
    }

    /** Its name in the module. */
    public String name() {
        return name;
    }

    /** The {@code CUfunction}. */
    public long handle() {
        return handle.address();
    }

    /**
     * Lets launches ask for up to {@code bytes} of dynamic shared memory, which above 48 KiB has to be allowed first. For
     * load time, not for each launch.
     *
     * @throws CudaException when the device has less
     */
    public Function allowShared(int bytes) {
        set(Cuda.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES(), bytes, bytes + " bytes of shared memory for " + name);
        return this;
    }

    /** Lets launches ask for clusters of more than 8 blocks. */
    public Function allowLargeClusters() {
        set(NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1, name);
        return this;
    }

    private void set(int attribute, int value, String detail) {
        module.requireOpenModule();
        Context context = module.context();
        context.enter();
        try {
            int result = Cuda.cuFuncSetAttribute(handle, attribute, value);
            if (result != 0) {
                throw context.failure(result, "cuFuncSetAttribute", detail);
            }
        } finally {
            context.exit();
        }
    }

    Module module() {
        return module;
    }

    MemorySegment segment() {
        return handle;
    }
}
