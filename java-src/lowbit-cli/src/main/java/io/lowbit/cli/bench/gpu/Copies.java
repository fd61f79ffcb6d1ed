package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import java.util.ArrayList;
import java.util.List;

/** The same bytes several times over in device memory. */
final class Copies implements AutoCloseable {
    private final Context context;
    private final Stream stream;
    private final long bytes;
    private final List<DeviceMemory> memory = new ArrayList<>();

    /** Copies {@code bytes} device bytes at {@code from} once. */
    Copies(Context context, Stream stream, long from, long bytes) {
        this.context = context;
        this.stream = stream;
        this.bytes = bytes;
        memory.add(context.allocate(bytes));
        stream.copy(at(0), from, bytes);
        stream.synchronize();
    }

    void reach(int count) {
        while (memory.size() < count) {
            memory.add(context.allocate(bytes));
            stream.copy(memory.getLast().address(), at(0), bytes);
        }
        stream.synchronize();
    }

    long at(int copy) {
        return memory.get(copy).address();
    }

    @Override
    public void close() {
        memory.forEach(DeviceMemory::close);
        memory.clear();
    }
}
