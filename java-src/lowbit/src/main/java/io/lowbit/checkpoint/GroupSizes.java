package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.quant.Grouping;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** Which columns share a scale, where a file has a number of groups, perhaps a group for each column, and perhaps a configuration. */
final class GroupSizes {
    private GroupSizes() {}

    /**
     * The grouping of {@code k} columns in {@code groups} groups.
     *
     * @param configured sizes that the configuration names; those that do not fit are passed over
     * @param index the group of each column, or null
     */
    static Grouping of(Checkpoint c, String layer, long k, long groups, List<Long> configured, Tensor index) {
        for (long size : configured) {
            if (size > 0 && size <= Integer.MAX_VALUE && Math.ceilDiv(k, size) == groups && (groups > 1 || index != null || size == k)) {
                return Grouping.group((int) size);
            }
        }
        if (groups == 1 && index == null) {
            return Grouping.CHANNEL;
        }
        if (index != null) {
            long size = largestGroup(index, groups);
            if (size > 0 && Math.ceilDiv(k, size) == groups) {
                return Grouping.group((int) size);
            }
        }
        long size = k / groups;
        // The tensors alone do not say: 2 groups of 200 weights are 100 + 100 or 128 + 72. Powers of two are safe.
        if (k % groups == 0 && Long.bitCount(size) == 1 && size <= Integer.MAX_VALUE) {
            return Grouping.group((int) size);
        }
        throw new CheckpointException(Fault.LAYOUT, c.path() + ": layer " + CheckpointException.quote(layer),
                groups + " groups in " + k + " columns do not tell the group size, and no configuration does", "give the model's configuration with --config");
    }

    /**
     * A file's index of groups, checked.
     *
     * @return null where there is none, where it is not set (all −1, or all 0 for several groups), and where columns are
     *     in order, k / size
     */
    static Tensor index(Checkpoint c, String layer, String name, long k, long groups) {
        if (!c.has(name)) {
            return null;
        }
        Tensor t = c.tensor(name);
        if (t.dtype() != DType.I32 || t.shape().rank() != 1 || t.elements() != k) {
            throw Layout.wrong(c, layer, "its " + name.substring(layer.length() + 1) + " is " + TensorSpec.of(t) + ", expected I32 [" + k + "]");
        }
        boolean unset = true;
        boolean zero = true;
        boolean ordered = true;
        for (long i = 0; i < k; i++) {
            int g = t.getInt(i);
            unset &= g == -1;
            zero &= g == 0;
            ordered &= i == 0 ? g == 0 : g == t.getInt(i - 1) || g == t.getInt(i - 1) + 1;
        }
        if (unset || zero) {
            return null;
        }
        for (long i = 0; i < k; i++) {
            if (t.getInt(i) < 0 || t.getInt(i) >= groups) {
                throw Layout.wrong(c, layer, "its column " + i + " is in group " + t.getInt(i) + " of " + groups);
            }
        }
        return ordered && evenlyOrdered(t, groups) ? null : t;
    }

    private static boolean evenlyOrdered(Tensor index, long groups) {
        long size = largestGroup(index, groups);
        for (long i = 0; i < index.elements(); i++) {
            if (index.getInt(i) != i / size) {
                return false;
            }
        }
        return true;
    }

    /** Columns of the largest group of a checked index. */
    static long largestGroup(Tensor index, long groups) {
        long[] counts = new long[Math.toIntExact(groups)];
        long largest = 0;
        for (long i = 0; i < index.elements(); i++) {
            int g = index.getInt(i);
            if (g >= 0 && g < groups) {
                largest = Math.max(largest, ++counts[g]);
            }
        }
        return largest;
    }

    /** An index that says what order the columns are in: k / size, or the matrix's own. */
    static Tensor index(Tensor groups, long k, long size, Arena arena) {
        if (groups != null) {
            return groups;
        }
        Tensor out = Tensor.allocate(arena, DType.I32, k);
        for (long i = 0; i < k; i++) {
            out.data().set(ValueLayout.JAVA_INT_UNALIGNED.withOrder(java.nio.ByteOrder.LITTLE_ENDIAN), 4 * i, (int) (i / size));
        }
        return out;
    }
}
