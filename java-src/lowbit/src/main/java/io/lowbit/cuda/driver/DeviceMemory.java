package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Device memory, allocated and freed in the order of one stream: work that the stream was given before the close may
 * still use it, work of other streams must be done by then.
 */
public final class DeviceMemory extends Owner {
    private final Stream stream;
    private final long bytes;
    private final long address;

    DeviceMemory(Stream stream, long bytes) {
        super("the device memory");
        if (bytes < 0) {
            throw new IllegalArgumentException("device memory of " + bytes + " bytes: expected 0 or more");
        }
        this.stream = stream;
        this.bytes = bytes;
        stream.context().acquire();
        try {
            stream.acquire();
        } catch (IllegalStateException e) {
            stream.context().release();
            throw e;
        }
        try {
            this.address = bytes == 0 ? 0 : allocate();
        } catch (CudaException e) {
            stream.release();
            stream.context().release();
            throw e;
        }
    }

    /**
     * Memory that {@code stream} may use; other streams after waiting for an event of it.
     *
     * @throws DeviceOutOfMemoryException when it does not fit; nothing has changed then
     */
    public static DeviceMemory allocate(Stream stream, long bytes) {
        return new DeviceMemory(stream, bytes);
    }

    private long allocate() {
        Context context = stream.context();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.JAVA_LONG);
            context.enter();
            try {
                int result = Cuda.cuMemAllocAsync(out, bytes, stream.segment());
                if (result != 0) {
                    throw context.failure(result, "cuMemAllocAsync", bytes + " bytes on " + context.device().name());
                }
            } finally {
                context.exit();
            }
            return out.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    /** The {@code CUdeviceptr}, 256-byte aligned; 0 for no bytes. */
    public long address() {
        requireOpen();
        return address;
    }

    /** Bytes asked for. */
    public long bytes() {
        return bytes;
    }

    @Override
    protected void free() {
        try {
            if (address != 0) {
                stream.context().free(() -> Cuda.cuMemFreeAsync(address, stream.segment()), "cuMemFreeAsync");
            }
        } finally {
            stream.release();
            stream.context().release();
        }
    }
}
