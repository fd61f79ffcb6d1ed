package io.lowbit.cpu;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Half;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Writes f32 sums into y or adds them to it, rounding once to its type; the sums are working memory and may change. */
final class Output {
    static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private Output() {}

    /**
     * Writes {@code count} sums as elements {@code to …} of y, adding the bias of columns {@code column …}.
     *
     * @param sums f32 from element {@code from} on
     * @param bias f32 [N] or null
     * @param add whether they are added to what is there, after the bias
     */
    static void write(float[] sums, int from, int count, float[] bias, long column, MemorySegment y, DType type, long to, boolean add) {
        if (bias != null) {
            int c = (int) column;
            for (int i = 0; i < count; i++) {
                sums[from + i] += bias[c + i];
            }
        }
        if (add) {
            addTo(sums, from, count, y, type, to);
        }
        switch (type) {
            case F32 -> MemorySegment.copy(sums, from, y, FLOAT, to << 2, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    y.set(SHORT, (to + i) << 1, Half.floatToF16(sums[from + i]));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    y.set(SHORT, (to + i) << 1, Half.floatToBf16(sums[from + i]));
                }
            }
            default -> throw new IllegalArgumentException("expected y in F32, F16 or BF16, got " + type);
        }
    }

    private static void addTo(float[] sums, int from, int count, MemorySegment y, DType type, long to) {
        switch (type) {
            case F32 -> {
                for (int i = 0; i < count; i++) {
                    sums[from + i] = y.get(FLOAT, (to + i) << 2) + sums[from + i];
                }
            }
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    sums[from + i] = Half.f16ToFloat(y.get(SHORT, (to + i) << 1)) + sums[from + i];
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    sums[from + i] = Half.bf16ToFloat(y.get(SHORT, (to + i) << 1)) + sums[from + i];
                }
            }
            default -> throw new IllegalArgumentException("expected y in F32, F16 or BF16, got " + type);
        }
    }

    /** Writes finished f32 rows [rows, n] of {@code sums} into y from row {@code firstRow} on, or adds them to it. */
    static void convert(MemorySegment sums, long n, int rows, Tensor y, long firstRow, boolean add) {
        for (long i = 0; i < rows * n; i++) {
            float sum = sums.get(FLOAT, i << 2);
            long to = firstRow * n + i;
            y.setFloat(to, add ? y.getFloat(to) + sum : sum);
        }
    }
}
