package io.lowbit.checkpoint;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Where the float weights of a linear layer are.
 *
 * @param layer its name, without {@code .weight}
 * @param tensor the name of the tensor that holds them
 * @param n output features
 * @param k input features
 * @param transposed true where the tensor is {@code [K, N]}, as ONNX's MatMul has it
 */
public record LinearWeight(String layer, String tensor, long n, long k, boolean transposed) {
    private static final int TILE = 32;

    /**
     * The weights as {@code [N, K]}, F32, F16 or BF16: a view where they are stored so, else a copy in {@code arena}.
     * F64 is rounded to F32.
     */
    public Tensor load(Checkpoint checkpoint, Arena arena) {
        Tensor stored = checkpoint.tensor(tensor);
        if (stored.dtype() == DType.F64) {
            Tensor rounded = Tensor.allocate(arena, DType.F32, stored.shape().dims());
            for (long i = 0; i < stored.elements(); i++) {
                rounded.setFloat(i, stored.getFloat(i));
            }
            stored = rounded;
        }
        return transposed ? transpose(stored, arena) : stored;
    }

    /** The type that {@link #load} gives for a tensor of {@code stored}. */
    static DType loadedType(DType stored) {
        return stored == DType.F64 ? DType.F32 : stored;
    }

    /** {@code [K, N]} to {@code [N, K]}, in tiles so that both sides stay in the cache. */
    private static Tensor transpose(Tensor from, Arena arena) {
        long rows = from.dim(0);
        long cols = from.dim(1);
        Tensor to = Tensor.allocate(arena, from.dtype(), cols, rows);
        MemorySegment a = from.data();
        MemorySegment b = to.data();
        boolean wide = from.dtype() == DType.F32;
        for (long r0 = 0; r0 < rows; r0 += TILE) {
            long r1 = Math.min(rows, r0 + TILE);
            for (long c0 = 0; c0 < cols; c0 += TILE) {
                long c1 = Math.min(cols, c0 + TILE);
                for (long c = c0; c < c1; c++) {
                    for (long r = r0; r < r1; r++) {
                        // bits are moved, not values: byte order does not matter
                        if (wide) {
                            b.set(ValueLayout.JAVA_INT_UNALIGNED, (c * rows + r) << 2, a.get(ValueLayout.JAVA_INT_UNALIGNED, (r * cols + c) << 2));
                        } else {
                            b.set(ValueLayout.JAVA_SHORT_UNALIGNED, (c * rows + r) << 1, a.get(ValueLayout.JAVA_SHORT_UNALIGNED, (r * cols + c) << 1));
                        }
                    }
                }
            }
        }
        return to;
    }
}
