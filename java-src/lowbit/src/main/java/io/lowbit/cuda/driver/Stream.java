package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.Cuda;
import io.lowbit.events.LaunchEvent;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.locks.ReentrantLock;

/** A queue of work on the GPU, run in order. Any thread may add to it. */
public final class Stream extends Owner {
    /** Size of a stream's {@link #workspace}: a block's 64 × 256 sums in f32 for each of 256 blocks and more. */
    public static final long WORKSPACE_BYTES = 32L << 20;

    /** The first part of a {@link #workspace}, zero between launches: 16,384 counters. */
    public static final long COUNTER_BYTES = 64L << 10;

    private final Context context;
    private final MemorySegment handle;
    private final boolean own;
    private final boolean counted;
    private final Arena arena;
    private final Arguments arguments;
    private final LaunchSettings launchConfig;
    private final Scratch workspace = new Scratch();
    private final Scratch operands = new Scratch();
    /** Held from the first argument of a launch to the launch, and from {@link #hold} on. */
    private final ReentrantLock lock = new ReentrantLock();

    /** The context's service stream, which does not keep the context alive. */
    Stream(Context context) {
        this(context, create(context), true, false);
    }

    private Stream(Context context, MemorySegment handle, boolean own, boolean counted) {
        super("the CUDA stream");
        this.context = context;
        this.handle = handle;
        this.own = own;
        this.counted = counted;
        this.arena = Arena.ofShared();
        this.arguments = new Arguments(arena);
        this.launchConfig = new LaunchSettings(arena, handle);
    }

    /** A new stream that does not wait for the default stream. */
    public static Stream open(Context context) {
        context.acquire();
        try {
            return new Stream(context, create(context), true, true);
        } catch (CudaException e) {
            context.release();
            throw e;
        }
    }

    /**
     * A stream that somebody else owns and closes.
     *
     * @param handle its {@code CUstream}; 0 is the default stream
     */
    public static Stream external(Context context, long handle) {
        context.acquire();
        return new Stream(context, MemorySegment.ofAddress(handle), false, true);
    }

    private static MemorySegment create(Context context) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            context.enter();
            try {
                context.check(Cuda.cuStreamCreate(out, Cuda.CU_STREAM_NON_BLOCKING()), "cuStreamCreate");
            } finally {
                context.exit();
            }
            return out.get(ValueLayout.ADDRESS, 0);
        }
    }

    /** The context it belongs to. */
    public Context context() {
        return context;
    }

    /** The {@code CUstream}. */
    public long handle() {
        requireOpen();
        return handle.address();
    }

    MemorySegment segment() {
        return handle;
    }

    /**
     * Address of the stream's workspace: {@link #WORKSPACE_BYTES} of device memory for what a kernel keeps between its blocks
     * (partial sums, counters). It is allocated and zeroed by the first call, also in the middle of a capture, and stays
     * where it is until the stream is closed, so graphs captured from the stream may use it. Work in one stream runs in
     * order, so all kernels of a stream share it; a graph uses the workspace of the stream it was captured from, and must
     * not run at the same time as other work of that stream. Kernels leave the first {@link #COUNTER_BYTES} zero.
     *
     * @throws DeviceOutOfMemoryException when the first call finds no room for it
     */
    public long workspace() {
        return workspace.address();
    }

    /**
     * Address of {@link #WORKSPACE_BYTES} more, apart from the {@link #workspace} and under the same rules, but that its kernels leave
     * in it what they like: for an operand that is brought into another order before the kernel that reads it.
     *
     * @throws DeviceOutOfMemoryException when the first call finds no room for it
     */
    public long operands() {
        return operands.address();
    }

    /** {@link #WORKSPACE_BYTES} of device memory, allocated and zeroed when first asked for. */
    private final class Scratch {
        private final ReentrantLock lock = new ReentrantLock();
        private volatile DeviceMemory memory;

        long address() {
            DeviceMemory known = memory;
            if (known == null) {
                lock.lock();
                try {
                    known = memory;
                    if (known == null) {
                        // On the context's own stream: an allocation here would be captured.
                        Stream service = context.service();
                        known = new DeviceMemory(service, WORKSPACE_BYTES);
                        service.fill(known.address(), (byte) 0, WORKSPACE_BYTES);
                        service.synchronize();
                        memory = known;
                    }
                } finally {
                    lock.unlock();
                }
            }
            return known.address();
        }

        /** To be called when the stream has done its work. */
        void close() {
            DeviceMemory known = memory;
            if (known != null) {
                known.close();
            }
        }
    }

    /** Waits until everything added so far is done. */
    public void synchronize() {
        requireOpen();
        synchronizeHandle();
    }

    private void synchronizeHandle() {
        context.enter();
        try {
            context.check(Cuda.cuStreamSynchronize(handle), "cuStreamSynchronize");
        } finally {
            context.exit();
        }
    }

    /** Later work of this stream waits for {@code event}. */
    public void await(Event event) {
        requireOpen();
        context.enter();
        try {
            context.check(Cuda.cuStreamWaitEvent(handle, event.segment(), 0), "cuStreamWaitEvent");
        } finally {
            context.exit();
        }
    }

    /**
     * Copies host bytes to the device. The host memory must stay as it is until the copy has run; it runs beside other
     * work only where it is pinned.
     */
    public void upload(long to, MemorySegment from, long bytes) {
        requireOpen();
        context.enter();
        try {
            context.check(Cuda.cuMemcpyHtoDAsync_v2(to, from, bytes, handle), "cuMemcpyHtoDAsync");
        } finally {
            context.exit();
        }
    }

    /** Copies device bytes to the host; they are there once the stream is synchronized. */
    public void download(MemorySegment to, long from, long bytes) {
        requireOpen();
        context.enter();
        try {
            context.check(Cuda.cuMemcpyDtoHAsync_v2(to, from, bytes, handle), "cuMemcpyDtoHAsync");
        } finally {
            context.exit();
        }
    }

    /** Copies device bytes to another place on the device that they do not overlap. */
    public void copy(long to, long from, long bytes) {
        requireOpen();
        context.enter();
        try {
            context.check(Cuda.cuMemcpyDtoDAsync_v2(to, from, bytes, handle), "cuMemcpyDtoDAsync");
        } finally {
            context.exit();
        }
    }

    /** Sets device bytes to one value. */
    public void fill(long at, byte value, long bytes) {
        requireOpen();
        context.enter();
        try {
            context.check(Cuda.cuMemsetD8Async(at, value, bytes, handle), "cuMemsetD8Async");
        } finally {
            context.exit();
        }
    }

    /**
     * Takes the stream for several launches that nobody else's may come between, for example because the first writes the
     * {@link #operands} of the second; {@link #letGo} must follow in the same thread.
     */
    public void hold() {
        requireOpen();
        lock.lock();
    }

    /** Ends what {@link #hold} has begun. */
    public void letGo() {
        lock.unlock();
    }

    /**
     * Takes the stream for one launch and gives its empty argument list; {@link #launch} must follow in the same thread,
     * or {@link #abandon}.
     */
    public Arguments arguments() {
        requireOpen();
        lock.lock();
        return arguments.clear();
    }

    /** Launches {@code function} over {@code gridX × gridY} blocks with the arguments given since {@link #arguments}. */
    public void launch(Function function, long gridX, long gridY, int threads, int sharedBytes) {
        try {
            requireOpen();
            function.module().requireOpenModule();
            LaunchEvent event = LaunchEvent.started();
            context.enter();
            try {
                context.check(Cuda.cuLaunchKernel(function.segment(), Math.toIntExact(gridX), Math.toIntExact(gridY), 1, threads, 1, 1,
                        sharedBytes, handle, arguments.pointers(), MemorySegment.NULL), "cuLaunchKernel");
            } finally {
                context.exit();
            }
            if (event != null) {
                event.finish(function.name(), gridX * gridY, threads);
            }
        } finally {
            lock.unlock();
        }
    }

    /**
     * Launches {@code function} as {@code config} says over {@code gridX × gridY × gridZ} blocks, with the arguments given
     * since {@link #arguments}.
     */
    public void launch(Function function, LaunchConfig config, long gridX, long gridY, long gridZ) {
        try {
            requireOpen();
            function.module().requireOpenModule();
            LaunchEvent event = LaunchEvent.started();
            launchConfig.set(config, Math.toIntExact(gridX), Math.toIntExact(gridY), Math.toIntExact(gridZ));
            context.enter();
            try {
                int result = Cuda.cuLaunchKernelEx(launchConfig.segment(), function.segment(), arguments.pointers(), MemorySegment.NULL);
                if (result != 0) {
                    throw context.failure(result, "cuLaunchKernelEx", function.name());
                }
            } finally {
                context.exit();
            }
            if (event != null) {
                event.finish(function.name(), gridX * gridY * gridZ, config.threadsX() * config.threadsY() * config.threadsZ());
            }
        } finally {
            lock.unlock();
        }
    }

    /** Gives the stream back without a launch. */
    public void abandon() {
        lock.unlock();
    }

    @Override
    protected void free() {
        try {
            if ((workspace.memory != null || operands.memory != null) && context.broken() == null) {
                synchronizeHandle();
            }
            workspace.close();
            operands.close();
            if (own) {
                // CUDA finishes what is queued before it frees the stream.
                context.free(() -> Cuda.cuStreamDestroy_v2(handle), "cuStreamDestroy");
            }
        } finally {
            arena.close();
            if (counted) {
                context.release();
            }
        }
    }
}
