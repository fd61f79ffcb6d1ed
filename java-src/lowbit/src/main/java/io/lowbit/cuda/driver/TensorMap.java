package io.lowbit.cuda.driver;

import io.lowbit.bindings.cuda.CUtensorMap_st;
import io.lowbit.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A {@code CUtensorMap}: how the tensor memory accelerator of Hopper copies tiles of a matrix between device and shared
 * memory. 128 bytes, passed to kernels by value as {@code const __grid_constant__ CUtensorMap}. Elements beyond the
 * matrix's edge arrive as zero bits.
 *
 * <p>Seen on an H100, documented nowhere: a box that begins within a row at no multiple of 16 bytes makes the kernel fault
 * with {@code CUDA_ERROR_ILLEGAL_INSTRUCTION}; and what is stored through a map goes to memory in whole pieces of 16 bytes,
 * so a row's bytes must be a multiple of that, or what lies behind the row is overwritten.
 *
 * <p>A map for weights is made once at load time; maps for activations, whose address changes from call to call, come
 * from {@link Arguments#map}. Encoding is done by the CPU and allocates nothing. Not for several threads at once.
 */
public final class TensorMap {
    private static final int MOST_DIMS = 5;
    // CUtensorMapInterleave and CUtensorMapFloatOOBfill
    private static final int NO_INTERLEAVE = 0;
    private static final int FILL_ZERO = 0;

    /** {@code CUtensorMapDataType}: only the size of elements matters, since out-of-bounds elements are zero bits. */
    public enum Type {
        U8(0, 1), U16(1, 2), U32(2, 4), F16(6, 2), F32(7, 4), BF16(9, 2);

        private final int number;
        private final int bytes;

        Type(int number, int bytes) {
            this.number = number;
            this.bytes = bytes;
        }

        /** Bytes of an element. */
        public int bytes() {
            return bytes;
        }
    }

    /** {@code CUtensorMapSwizzle}: how 16-byte chunks are permuted in shared memory. A box's inner bytes are at most this. */
    public enum Swizzle {
        NONE, B32, B64, B128
    }

    /** {@code CUtensorMapL2promotion}: bytes that a miss of L2 fetches. */
    public enum Promotion {
        NONE, B64, B128, B256
    }

    private final MemorySegment map;
    private final MemorySegment dims;
    private final MemorySegment strides;
    private final MemorySegment box;
    private final MemorySegment steps;

    /** An empty map whose memory is {@code arena}'s. */
    public TensorMap(Arena arena) {
        map = arena.allocate(CUtensorMap_st.sizeof(), 64);
        dims = arena.allocate(8L * MOST_DIMS, 8);
        strides = arena.allocate(8L * MOST_DIMS, 8);
        box = arena.allocate(4L * MOST_DIMS, 4);
        steps = arena.allocate(4L * MOST_DIMS, 4);
        for (int i = 0; i < MOST_DIMS; i++) {
            steps.setAtIndex(ValueLayout.JAVA_INT, i, 1);
        }
    }

    /** The 128 bytes. */
    public MemorySegment segment() {
        return map;
    }

    /**
     * Tiles of a row-major matrix.
     *
     * @param address of the first element; a multiple of 16
     * @param columns elements of a row
     * @param rows rows
     * @param pitch bytes from row to row; a multiple of 16
     * @param boxColumns elements of a tile's row, at most 256; a multiple of 16 bytes, and at most the swizzle's bytes
     * @param boxRows rows of a tile, at most 256
     * @throws CudaException naming the driver's refusal
     */
    public TensorMap matrix(Context context, Type type, Swizzle swizzle, Promotion promotion, long address, long columns, long rows,
            long pitch, int boxColumns, int boxRows) {
        dims.setAtIndex(ValueLayout.JAVA_LONG, 0, columns);
        dims.setAtIndex(ValueLayout.JAVA_LONG, 1, rows);
        strides.setAtIndex(ValueLayout.JAVA_LONG, 0, pitch);
        box.setAtIndex(ValueLayout.JAVA_INT, 0, boxColumns);
        box.setAtIndex(ValueLayout.JAVA_INT, 1, boxRows);
        encode(context, type, 2, swizzle, promotion, address);
        return this;
    }

    /**
     * Tiles of a stack of row-major matrices; as {@link #matrix}.
     *
     * @param layers matrices of the stack
     * @param layerPitch bytes from matrix to matrix; a multiple of 16
     * @param boxLayers matrices of a tile
     */
    public TensorMap stack(Context context, Type type, Swizzle swizzle, Promotion promotion, long address, long columns, long rows,
            long layers, long pitch, long layerPitch, int boxColumns, int boxRows, int boxLayers) {
        dims.setAtIndex(ValueLayout.JAVA_LONG, 0, columns);
        dims.setAtIndex(ValueLayout.JAVA_LONG, 1, rows);
        dims.setAtIndex(ValueLayout.JAVA_LONG, 2, layers);
        strides.setAtIndex(ValueLayout.JAVA_LONG, 0, pitch);
        strides.setAtIndex(ValueLayout.JAVA_LONG, 1, layerPitch);
        box.setAtIndex(ValueLayout.JAVA_INT, 0, boxColumns);
        box.setAtIndex(ValueLayout.JAVA_INT, 1, boxRows);
        box.setAtIndex(ValueLayout.JAVA_INT, 2, boxLayers);
        encode(context, type, 3, swizzle, promotion, address);
        return this;
    }

    private void encode(Context context, Type type, int rank, Swizzle swizzle, Promotion promotion, long address) {
        int result;
        context.enter();
        try {
            result = Cuda.cuTensorMapEncodeTiled(map, type.number, rank, MemorySegment.ofAddress(address), dims, strides, box, steps,
                    NO_INTERLEAVE, swizzle.ordinal(), promotion.ordinal(), FILL_ZERO);
        } finally {
            context.exit();
        }
        if (result != 0) {
            throw context.failure(result, "cuTensorMapEncodeTiled", type + " of " + rank + " dimensions at 0x" + Long.toHexString(address));
        }
    }
}
