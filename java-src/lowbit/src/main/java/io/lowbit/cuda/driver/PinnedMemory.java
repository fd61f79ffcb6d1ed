package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Page-locked host memory, which the GPU copies from and to without a detour. */
public final class PinnedMemory extends Owner {
    private final Context context;
    private final MemorySegment raw;
    private final Arena arena;
    private final MemorySegment segment;

    private PinnedMemory(Context context, MemorySegment raw, long bytes) {
        super("the pinned memory");
        this.context = context;
        this.raw = raw;
        this.arena = Arena.ofShared();
        this.segment = raw.reinterpret(bytes, arena, null);
    }

    /** @throws DeviceOutOfMemoryException when the host does not give that much */
    public static PinnedMemory allocate(Context context, long bytes) {
        context.acquire();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            context.enter();
            try {
                int result = Cuda.cuMemHostAlloc(out, Math.max(bytes, 1), 0);
                if (result != 0) {
                    throw context.failure(result, "cuMemHostAlloc", bytes + " bytes of pinned host memory");
                }
            } finally {
                context.exit();
            }
            return new PinnedMemory(context, out.get(ValueLayout.ADDRESS, 0), bytes);
        } catch (CudaException e) {
            context.release();
            throw e;
        }
    }

    /** The memory; a touch after close is an {@link IllegalStateException}. */
    public MemorySegment segment() {
        return segment;
    }

    @Override
    protected void free() {
        try {
            arena.close();
            context.free(() -> Cuda.cuMemFreeHost(raw), "cuMemFreeHost");
        } finally {
            context.release();
        }
    }
}
