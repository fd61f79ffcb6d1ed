package io.lowbit.cli.bench.cublaslt;

import io.lowbit.bindings.cublaslt.CublasLt;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** cuBLASLt started in a context, with a workspace that its products share: they must run one after the other. */
public final class CublasLtHandle implements AutoCloseable {
    /** As large as any of its algorithms for Hopper likes. */
    public static final long WORKSPACE_BYTES = 64L << 20;

    private final Context context;
    private final MemorySegment handle;
    private final DeviceMemory workspace;

    /** Starts the library; the context must outlive the handle. */
    public CublasLtHandle(CublasLtLibrary library, Context context) {
        this.context = context;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            context.bound(() -> check(CublasLt.cublasLtCreate(out), "cublasLtCreate of " + library));
            this.handle = out.get(ValueLayout.ADDRESS, 0);
        }
        this.workspace = context.allocate(WORKSPACE_BYTES);
    }

    Context context() {
        return context;
    }

    MemorySegment segment() {
        return handle;
    }

    MemorySegment workspace() {
        return MemorySegment.ofAddress(workspace.address());
    }

    static void check(int status, String call) {
        if (status != CublasLt.CUBLAS_STATUS_SUCCESS()) {
            MemorySegment text = CublasLt.cublasLtGetStatusString(status);
            throw new CublasLtException(call + ": " + (text.address() == 0 ? "status" : text.reinterpret(Long.MAX_VALUE).getString(0))
                    + " (" + status + ")");
        }
    }

    @Override
    public void close() {
        workspace.close();
        context.bound(() -> CublasLt.cublasLtDestroy(handle));
    }
}
