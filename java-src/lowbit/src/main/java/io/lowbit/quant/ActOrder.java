package io.lowbit.quant;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/**
 * An INT4 matrix with act-order, its columns sorted by group, so that groups are runs of neighbours again: y = x·Wᵀ is
 * x with its columns in {@code order} times {@code matrix}ᵀ.
 *
 * @param matrix the same values without {@link QuantizedMatrix#groups()}; scales and zero points are those of the source
 *     where all groups have the same number of columns, else repeated for smaller groups
 * @param order original column of each sorted column
 */
public record ActOrder(QuantizedMatrix matrix, int[] order) {
    /** Sorts; within a group columns keep their order. Parts that change are allocated in {@code arena}. */
    public static ActOrder of(QuantizedMatrix source, Arena arena) {
        Scheme.Int4 scheme = (Scheme.Int4) source.scheme();
        int k = Math.toIntExact(source.k());
        int groups = Math.toIntExact(source.scales().dim(1));
        int[] starts = new int[groups + 1];
        for (int col = 0; col < k; col++) {
            starts[source.groups().getInt(col) + 1]++;
        }
        for (int g = 0; g < groups; g++) {
            starts[g + 1] += starts[g];
        }
        int[] order = new int[k];
        int[] next = Arrays.copyOf(starts, groups);
        for (int col = 0; col < k; col++) {
            order[next[source.groups().getInt(col)]++] = col;
        }
        int size = Math.min(((Grouping.PerGroup) scheme.grouping()).size(), Math.max(1, k));
        boolean even = true;
        for (int g = 0; g < groups; g++) {
            even &= starts[g] == Math.min((long) g * size, k);
        }
        if (!even) {
            // The largest size whose multiples meet every start: each of its groups lies in one of the source's.
            size = k;
            for (int start : starts) {
                size = gcd(size, start);
            }
        }
        Tensor codes = codes(source, order, arena);
        if (even) {
            return new ActOrder(QuantizedMatrix.int4(scheme, source.n(), k, codes, source.scales(), source.zeros()), order);
        }
        Scheme.Int4 finer = new Scheme.Int4(Grouping.group(size), scheme.symmetric(), scheme.scaleType());
        return new ActOrder(repeat(source, finer, codes, order, size, arena), order);
    }

    private static QuantizedMatrix repeat(QuantizedMatrix source, Scheme.Int4 scheme, Tensor codes, int[] order, int size, Arena arena) {
        long n = source.n();
        int count = Math.ceilDiv(order.length, size);
        Tensor scales = Tensor.allocate(arena, scheme.scaleType(), n, count);
        Tensor zeros = scheme.symmetric() ? null : Tensor.allocate(arena, DType.U8, n, Math.ceilDiv(count, 2L));
        for (long row = 0; row < n; row++) {
            for (int g = 0; g < count; g++) {
                int col = order[g * size];
                scales.setFloat(row * count + g, source.scale(row, col));
                if (zeros != null) {
                    put(zeros, row * zeros.dim(1), g, source.zero(row, col));
                }
            }
        }
        return QuantizedMatrix.int4(scheme, n, order.length, codes, scales, zeros);
    }

    private static Tensor codes(QuantizedMatrix source, int[] order, Arena arena) {
        long rowBytes = source.codes().dim(1);
        Tensor out = Tensor.allocate(arena, DType.U8, source.n(), rowBytes);
        for (long row = 0; row < source.n(); row++) {
            for (int j = 0; j < order.length; j++) {
                put(out, row * rowBytes, j, source.code(row, order[j]));
            }
        }
        return out;
    }

    private static void put(Tensor packed, long rowStart, int index, int nibble) {
        long at = rowStart + (index >>> 1);
        packed.data().set(ValueLayout.JAVA_BYTE, at, (byte) (packed.getByte(at) | nibble << 4 * (index & 1)));
    }

    private static int gcd(int a, int b) {
        return b == 0 ? a : gcd(b, a % b);
    }
}
