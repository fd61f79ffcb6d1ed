package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** PTX or machine code, loaded into a context. */
public final class Module extends Owner {
    private static final long LOG_BYTES = 4096;

    private final Context context;
    private final MemorySegment handle;

    private Module(Context context, MemorySegment handle) {
        super("the CUDA module");
        this.context = context;
        this.handle = handle;
    }

    /**
     * Loads PTX, which the driver compiles for its GPU.
     *
     * @param name for messages
     * @throws CudaException with the compiler's first complaint when the driver refuses it
     */
    public static Module load(Context context, String name, byte[] ptx) {
        context.acquire();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment image = arena.allocate(ptx.length + 1L);
            MemorySegment.copy(ptx, 0, image, ValueLayout.JAVA_BYTE, 0, ptx.length);
            MemorySegment log = arena.allocate(LOG_BYTES);
            MemorySegment options = arena.allocateFrom(ValueLayout.JAVA_INT, Cuda.CU_JIT_ERROR_LOG_BUFFER(),
                    Cuda.CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES());
            MemorySegment values = arena.allocate(16, 8);
            values.set(ValueLayout.ADDRESS, 0, log);
            values.set(ValueLayout.JAVA_LONG, 8, LOG_BYTES);
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            context.enter();
            try {
                int result = Cuda.cuModuleLoadDataEx(out, image, 2, options, values);
                if (result != 0) {
                    throw context.failure(result, "cuModuleLoadDataEx", name + " " + log.getString(0).strip().replaceAll("\\s+", " "));
                }
            } finally {
                context.exit();
            }
            return new Module(context, out.get(ValueLayout.ADDRESS, 0));
        } catch (CudaException e) {
            context.release();
            throw e;
        }
    }

    /** The kernel of this name. */
    public Function function(String name) {
        requireOpen();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            MemorySegment text = arena.allocateFrom(name);
            context.enter();
            try {
                int result = Cuda.cuModuleGetFunction(out, handle, text);
                if (result != 0) {
                    throw context.failure(result, "cuModuleGetFunction", name);
                }
            } finally {
                context.exit();
            }
            return new Function(this, name, out.get(ValueLayout.ADDRESS, 0));
        }
    }

    Context context() {
        return context;
    }

    void requireOpenModule() {
        requireOpen();
    }

    @Override
    protected void free() {
        try {
            context.free(() -> Cuda.cuModuleUnload(handle), "cuModuleUnload");
        } finally {
            context.release();
        }
    }
}
