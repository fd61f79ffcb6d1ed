package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A mark in a stream: to wait for, or to measure time between two of them. */
public final class Event extends Owner {
    private final Context context;
    private final MemorySegment handle;

    private Event(Context context, MemorySegment handle) {
        super("the CUDA event");
        this.context = context;
        this.handle = handle;
    }

    /** An event that also takes the time. */
    public static Event open(Context context) {
        context.acquire();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            context.enter();
            try {
                context.check(Cuda.cuEventCreate(out, Cuda.CU_EVENT_DEFAULT()), "cuEventCreate");
            } finally {
                context.exit();
            }
            return new Event(context, out.get(ValueLayout.ADDRESS, 0));
        } catch (CudaException e) {
            context.release();
            throw e;
        }
    }

    MemorySegment segment() {
        requireOpen();
        return handle;
    }

    /** Puts the mark at the end of what {@code stream} holds now. */
    public void record(Stream stream) {
        requireOpen();
        context.enter();
        try {
            context.check(Cuda.cuEventRecord(handle, stream.segment()), "cuEventRecord");
        } finally {
            context.exit();
        }
    }

    /** Waits until the stream has reached the mark. */
    public void synchronize() {
        requireOpen();
        context.enter();
        try {
            context.check(Cuda.cuEventSynchronize(handle), "cuEventSynchronize");
        } finally {
            context.exit();
        }
    }

    /** True when the stream has reached the mark. */
    public boolean done() {
        requireOpen();
        context.enter();
        try {
            int result = Cuda.cuEventQuery(handle);
            if (result == Cuda.CUDA_ERROR_NOT_READY()) {
                return false;
            }
            context.check(result, "cuEventQuery");
            return true;
        } finally {
            context.exit();
        }
    }

    /** Milliseconds on the device from {@code start} to this event, both reached. */
    public float millisecondsSince(Event start) {
        requireOpen();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.JAVA_FLOAT);
            context.enter();
            try {
                context.check(Cuda.cuEventElapsedTime(out, start.segment(), handle), "cuEventElapsedTime");
            } finally {
                context.exit();
            }
            return out.get(ValueLayout.JAVA_FLOAT, 0);
        }
    }

    @Override
    protected void free() {
        try {
            context.free(() -> Cuda.cuEventDestroy_v2(handle), "cuEventDestroy");
        } finally {
            context.release();
        }
    }
}
