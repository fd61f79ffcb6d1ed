package io.lowbit.cpu;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Half;
import java.lang.foreign.MemorySegment;

/** Packs rows of x as f32 into the order of the micro-kernels: [padded k][stride], zeros where the panels are padded. */
final class Activations {
    private Activations() {}

    /**
     * Packs {@code rows} rows.
     *
     * @param x elements of type {@code type}, the rows from element {@code first} on
     * @param stride floats a column takes: at least {@code rows}; what lies between is left alone
     * @param to receives {@code stride·w.paddedColumns()} floats from {@code at} on
     * @param row working memory for one row of K floats
     */
    static void pack(Panels w, MemorySegment x, DType type, long first, int rows, int stride, float[] to, int at, MemorySegment row) {
        for (int r = 0; r < rows; r++) {
            // A row of its own first: the scatter below then always reads the same kind of memory.
            toFloats(x, type, first + (long) r * w.k, w.k, row);
            scatter(w, row, to, at + r, stride);
        }
    }

    private static void toFloats(MemorySegment x, DType type, long first, int count, MemorySegment row) {
        switch (type) {
            case F32 -> MemorySegment.copy(x, first << 2, row, 0, (long) count << 2);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    row.set(Output.FLOAT, (long) i << 2, Half.f16ToFloat(x.get(Output.SHORT, (first + i) << 1)));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    row.set(Output.FLOAT, (long) i << 2, Half.bf16ToFloat(x.get(Output.SHORT, (first + i) << 1)));
                }
            }
            default -> throw new IllegalArgumentException("expected x in F32, F16 or BF16, got " + type);
        }
    }

    private static void scatter(Panels w, MemorySegment row, float[] to, int at, int stride) {
        int columns = w.kind.columns;
        int position = 0;
        for (int group = 0; group < w.groups; group++) {
            int from = group * w.groupColumns;
            int count = Math.min(w.groupColumns, w.k - from);
            int padded = Math.ceilDiv(count, columns) * columns;
            if (stride == 1) {
                MemorySegment.copy(row, Output.FLOAT, 4L * from, to, at + position, count);
            } else {
                for (int i = 0; i < count; i++) {
                    to[at + (position + i) * stride] = row.get(Output.FLOAT, 4L * (from + i));
                }
            }
            for (int i = count; i < padded; i++) {
                to[at + (position + i) * stride] = 0f;
            }
            position += padded;
        }
    }
}
