package io.lowbit.cuda;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.PinnedMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * What one caller with tensors in host memory uses: a stream, pinned staging and device buffers, which grow to the
 * largest call and stay. Used by one thread at a time.
 */
final class Lane implements AutoCloseable {
    /** Rows are taken in portions of about this many bytes of x or y, so that staging stays small for large M. */
    private static final long PORTION = 32L << 20;

    private final Context context;
    private final Stream stream;
    private PinnedMemory staging;
    private DeviceMemory x;
    private DeviceMemory y;
    private DeviceMemory workspace;

    Lane(Context context) {
        this.context = context;
        this.stream = Stream.open(context);
    }

    Stream stream() {
        return stream;
    }

    /**
     * y = x · Wᵀ; with {@code scaling}, on activations quantized to FP8.
     *
     * @param add y = y + x · Wᵀ instead
     */
    void forward(CudaLinear layer, Tensor xs, Tensor ys, ActivationScaling scaling, Accumulation accumulation, boolean add) {
        long m = xs.dim(0);
        long xRow = xs.dtype().bits() / 8 * layer.inFeatures();
        long yRow = ys.dtype().bits() / 8 * layer.outFeatures();
        // One scale for the whole of x needs the whole of x.
        long portion = scaling != null && scaling.tensor() ? m : Math.min(m, Math.max(64, PORTION / Math.max(1, Math.max(xRow, yRow))));
        reserve(portion * xRow, portion * yRow, scaling == null ? 0 : layer.workspaceBytes(portion));
        MemorySegment pinned = staging.segment();
        for (long row = 0; row < m; row += portion) {
            long rows = Math.min(portion, m - row);
            MemorySegment.copy(xs.data(), row * xRow, pinned, 0, rows * xRow);
            stream.upload(x.address(), pinned, rows * xRow);
            if (add) {
                stream.synchronize();  // x has left the staging
                MemorySegment.copy(ys.data(), row * yRow, pinned, 0, rows * yRow);
                stream.upload(y.address(), pinned, rows * yRow);
            }
            layer.enqueue(stream, m, rows, x.address(), xs.dtype(), y.address(), ys.dtype(), scaling, accumulation, workspace.address(),
                    add);
            stream.download(pinned, y.address(), rows * yRow);
            stream.synchronize();
            MemorySegment.copy(pinned, 0, ys.data(), row * yRow, rows * yRow);
        }
    }

    private void reserve(long xBytes, long yBytes, long workspaceBytes) {
        long stagingBytes = Math.max(xBytes, yBytes);
        if (staging == null || staging.segment().byteSize() < stagingBytes) {
            if (staging != null) {
                staging.close();
                staging = null;
            }
            staging = PinnedMemory.allocate(context, roomy(stagingBytes));
        }
        x = grow(x, xBytes);
        y = grow(y, yBytes);
        workspace = grow(workspace, workspaceBytes);
    }

    private DeviceMemory grow(DeviceMemory memory, long bytes) {
        if (memory != null && memory.bytes() >= bytes && !memory.isClosed()) {
            return memory;
        }
        if (memory != null) {
            memory.close();
        }
        return DeviceMemory.allocate(stream, roomy(bytes));
    }

    /** The next power of two, so that slowly growing calls do not allocate each time. */
    private static long roomy(long bytes) {
        return bytes <= 4096 ? 4096 : Long.highestOneBit(bytes - 1) << 1;
    }

    @Override
    public void close() {
        if (staging != null) {
            staging.close();
        }
        for (DeviceMemory memory : new DeviceMemory[] {x, y, workspace}) {
            if (memory != null) {
                memory.close();
            }
        }
        stream.close();
    }
}
