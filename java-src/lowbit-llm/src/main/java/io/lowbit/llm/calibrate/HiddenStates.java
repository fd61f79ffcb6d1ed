package io.lowbit.llm.calibrate;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** The residual streams of all windows between two layers, F32, in a mapped temporary file: the heap holds one window. */
final class HiddenStates implements AutoCloseable {
    private final Arena arena = Arena.ofShared();
    private final MemorySegment all;
    private final int size;

    /** @param size floats of a window */
    HiddenStates(int windows, int size) throws IOException {
        this.size = size;
        Path file = Files.createTempFile("lowbit-calibration-", ".f32");
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            all = channel.map(FileChannel.MapMode.READ_WRITE, 0, 4L * windows * size, arena);
        } finally {
            // the mapping keeps the bytes; the name is gone whatever happens
            Files.delete(file);
        }
    }

    void read(int window, float[] out) {
        MemorySegment.copy(all, ValueLayout.JAVA_FLOAT, 4L * window * size, out, 0, size);
    }

    void write(int window, float[] in) {
        MemorySegment.copy(in, 0, all, ValueLayout.JAVA_FLOAT, 4L * window * size, size);
    }

    @Override
    public void close() {
        arena.close();
    }
}
