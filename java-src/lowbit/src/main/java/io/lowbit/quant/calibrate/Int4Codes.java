package io.lowbit.quant.calibrate;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** The canonical parts of an INT4 matrix while they are filled, one tile of whole rows at a time. */
final class Int4Codes {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Arena arena;
    private final long n;
    private final int k;
    private final Scheme.Int4 scheme;
    private final int groups;
    private final int groupSize;
    private final long rowBytes;
    private final long zeroBytes;
    private final Tensor codes;
    private final Tensor scales;
    private final Tensor zeros;

    Int4Codes(long n, int k, Scheme.Int4 scheme, Arena arena) {
        if (scheme.grouping() instanceof Grouping.PerTensor) {
            throw new IllegalArgumentException(scheme.label() + ": one scale for the matrix cannot be chosen on the way; use channel or groups");
        }
        this.arena = arena;
        this.n = n;
        this.k = k;
        this.scheme = scheme;
        this.groupSize = scheme.grouping() instanceof Grouping.PerGroup g ? Math.min(g.size(), k) : k;
        this.groups = Math.toIntExact(scheme.grouping().scaleCols(k));
        this.rowBytes = Math.ceilDiv(k, 2L);
        this.zeroBytes = Math.ceilDiv(groups, 2L);
        this.codes = Tensor.allocate(arena, DType.U8, n, rowBytes);
        this.scales = Tensor.allocate(arena, scheme.scaleType(), n, groups);
        this.zeros = scheme.symmetric() ? null : Tensor.allocate(arena, DType.U8, n, zeroBytes);
    }

    Tensor codes() {
        return codes;
    }

    /** Columns of a group. */
    int groupSize() {
        return groupSize;
    }

    /** Stores codes 0..15 of {@code column} for rows {@code first..first+count}. */
    void column(long first, int count, int column, float[] values) {
        int shift = (column & 1) << 2;
        for (int r = 0; r < count; r++) {
            long index = (first + r) * rowBytes + (column >>> 1);
            // a row belongs to one tile, so nobody else writes the other nibble
            int old = codes.data().get(ValueLayout.JAVA_BYTE, index);
            codes.data().set(ValueLayout.JAVA_BYTE, index, (byte) (old | (int) values[r] << shift));
        }
    }

    /** Stores scales and zero points of all groups of rows {@code first..first+count}. */
    void grids(long first, int count, GroupGrids grids, int lanes) {
        for (int g = 0; g < groups; g++) {
            for (int r = 0; r < count; r++) {
                grid(first + r, g, grids.scales[g * lanes + r], grids.zeros[g * lanes + r]);
            }
        }
    }

    /** Stores the scale and the zero point of group {@code g} of rows {@code first..first+count}. */
    void grid(long first, int count, int g, float[] scale, float[] zero) {
        for (int r = 0; r < count; r++) {
            grid(first + r, g, scale[r], (int) zero[r]);
        }
    }

    /** Stores the scale and the zero point of group {@code g} of one row. */
    void grid(long row, int g, float scale, int zero) {
        scales.setFloat(row * groups + g, scale);
        if (zeros != null) {
            long index = row * zeroBytes + (g >>> 1);
            int old = zeros.data().get(ValueLayout.JAVA_BYTE, index);
            zeros.data().set(ValueLayout.JAVA_BYTE, index, (byte) (old | zero << ((g & 1) << 2)));
        }
    }

    /** @param groupOf the group of each column; null for groups of neighbours */
    QuantizedMatrix matrix(int[] groupOf) {
        if (groupOf == null) {
            return QuantizedMatrix.int4(scheme, n, k, codes, scales, zeros);
        }
        Tensor index = Tensor.allocate(arena, DType.I32, k);
        MemorySegment.copy(groupOf, 0, index.data(), INT, 0, k);
        return QuantizedMatrix.int4(scheme, n, k, codes, scales, zeros, index);
    }
}
