package io.lowbit.llm.calibrate;

import io.lowbit.llm.Session;
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

    /** Starts every window with its tokens' embeddings: {@code windows} as many as there are, or fewer. */
    void embed(Session session, int[][] windows) {
        float[] window = new float[size];
        for (int w = 0; w < windows.length; w++) {
            session.embed(windows[w], window);
            write(w, window);
        }
    }

    /**
     * Takes the first {@code windows} windows of {@code rows} tokens through decoder layer {@code layer}.
     *
     * @param keep false leaves them before it: for those who listen only
     */
    void advance(Session session, int layer, int windows, int rows, boolean keep) {
        float[] window = new float[size];
        for (int w = 0; w < windows; w++) {
            read(w, window);
            session.throughLayer(layer, window, rows);
            if (keep) {
                write(w, window);
            }
        }
    }

    /** Becomes the first windows of {@code other}, as many as this has. */
    void copyFrom(HiddenStates other) {
        all.copyFrom(other.all.asSlice(0, all.byteSize()));
    }

    @Override
    public void close() {
        arena.close();
    }
}
