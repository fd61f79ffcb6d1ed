package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;

/** Device memory that grows to the largest use and stays. */
final class Buffer implements AutoCloseable {
    private final Context context;
    private DeviceMemory memory;

    Buffer(Context context) {
        this.context = context;
    }

    /** Address of at least {@code bytes} bytes, whose content is anything; what was there before is gone when it grows. */
    long reserve(long bytes) {
        if (memory == null || memory.bytes() < bytes) {
            if (memory != null) {
                memory.close();
                memory = null;
            }
            memory = context.allocate(Math.max(bytes, 256));
        }
        return memory.address();
    }

    @Override
    public void close() {
        if (memory != null) {
            memory.close();
            memory = null;
        }
    }
}
