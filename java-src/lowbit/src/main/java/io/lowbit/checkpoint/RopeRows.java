package io.lowbit.checkpoint;

import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The rows of query and key projections of llama.cpp's architecture {@code llama}: it rotates neighbours, Hugging Face the
 * halves of a head, so element i·(d/2) + j of a head there is element 2j + i here. Rows move whole, whatever they hold.
 */
final class RopeRows {
    private RopeRows() {}

    /** Hugging Face's order to llama.cpp's. */
    static Tensor toGguf(Tensor t, long heads, Arena arena) {
        return move(t, heads, true, arena);
    }

    /** llama.cpp's order to Hugging Face's. */
    static Tensor toHuggingFace(Tensor t, long heads, Arena arena) {
        return move(t, heads, false, arena);
    }

    private static Tensor move(Tensor t, long heads, boolean toGguf, Arena arena) {
        long rows = t.dim(0);
        if (heads < 1 || rows % (2 * heads) != 0) {
            throw new IllegalArgumentException(rows + " rows are no " + heads + " heads of an even size");
        }
        long half = rows / heads / 2;
        long rowBytes = rows == 0 ? 0 : t.data().byteSize() / rows;
        MemorySegment out = arena.allocate(Math.max(1, t.data().byteSize()), Tensor.ALIGNMENT).asSlice(0, t.data().byteSize());
        for (long h = 0; h < heads; h++) {
            for (long i = 0; i < 2; i++) {
                for (long j = 0; j < half; j++) {
                    long halves = (h * 2 + i) * half + j;
                    long neighbours = (h * half + j) * 2 + i;
                    MemorySegment.copy(t.data(), (toGguf ? halves : neighbours) * rowBytes, out, (toGguf ? neighbours : halves) * rowBytes, rowBytes);
                }
            }
        }
        return new Tensor(t.dtype(), t.shape(), out);
    }
}
