package io.lowbit.quant;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Quantized matrices back to plain floats. Parallel, with the same bits for any number of threads. */
public final class Dequantizer {
    private Dequantizer() {}

    /** As {@link #dequantize(QuantizedMatrix, DType, int, Arena)} on one thread a processor. */
    public static Tensor dequantize(QuantizedMatrix matrix, DType dtype, Arena arena) {
        return dequantize(matrix, dtype, Runtime.getRuntime().availableProcessors(), arena);
    }

    /**
     * {@code [N, K]} of {@code dtype}: {@link QuantizedMatrix#value} of every weight, rounded to nearest even for F16
     * and BF16 (overflow gives infinity).
     *
     * @param dtype F32, F16 or BF16
     * @param threads at least 1; one is used where memory belongs to a confined arena
     * @throws IllegalArgumentException for another type
     * @throws IllegalStateException when an arena is closed
     */
    public static Tensor dequantize(QuantizedMatrix matrix, DType dtype, int threads, Arena arena) {
        if (dtype != DType.F32 && dtype != DType.F16 && dtype != DType.BF16) {
            throw new IllegalArgumentException("expected F32, F16 or BF16 to dequantize to, got " + dtype);
        }
        long k = matrix.k();
        Tensor out = Tensor.allocate(arena, dtype, matrix.n(), k);
        int usable = threadsFor(matrix, threads, out.data());
        Parallel.run(matrix.n(), k, 1, usable, (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                RowDecoder decoder = new RowDecoder(matrix, scratch);
                boolean direct = dtype == DType.F32;
                MemorySegment row = direct ? null : scratch.allocate(Math.max(1, 4 * k), Tensor.ALIGNMENT);
                for (long r = from; r < to; r++) {
                    if (direct) {
                        decoder.decode(r, out.data(), 4 * r * k);
                    } else {
                        decoder.decode(r, row, 0);
                        RowDecoder.store(row, 0, dtype, out.data(), 2 * r * k, k);
                    }
                }
            }
        });
        return out;
    }

    /** {@code threads}, or 1 where a part of {@code matrix} or {@code other} may be touched by this thread only. */
    static int threadsFor(QuantizedMatrix matrix, int threads, MemorySegment other) {
        int usable = Parallel.threadsFor(threads, other, matrix.codes().data());
        if (matrix.scales() != null) {
            usable = Parallel.threadsFor(usable, matrix.scales().data());
        }
        if (matrix.zeros() != null) {
            usable = Parallel.threadsFor(usable, matrix.zeros().data());
        }
        if (matrix.groups() != null) {
            usable = Parallel.threadsFor(usable, matrix.groups().data());
        }
        if (matrix.nested() != null) {
            NestedScales nested = matrix.nested();
            usable = Parallel.threadsFor(usable, nested.codes().data(), nested.absmax().data(), nested.map().data());
        }
        return usable;
    }
}
