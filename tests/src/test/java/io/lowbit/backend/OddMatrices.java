package io.lowbit.backend;

import io.lowbit.format.GgmlBlock;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** Matrices that no quantizer makes but checkpoints hold: act-order, ggml's blocks, 8-bit integers. Random, seeded. */
public final class OddMatrices {
    private OddMatrices() {}

    /** One of each kind, of odd shapes where the kind allows them. */
    public static List<QuantizedMatrix> all(Arena arena) {
        List<QuantizedMatrix> out = new ArrayList<>();
        for (GgmlBlock block : GgmlBlock.values()) {
            out.add(RandomMatrix.of(arena, new Scheme.Ggml(block), 37, 768, 5));
        }
        out.add(RandomMatrix.of(arena, new Scheme.Ggml(GgmlBlock.Q8_0), 5, 32, 6));
        out.add(RandomMatrix.of(arena, new Scheme.Int8(), 37, 77, 7));
        out.add(RandomMatrix.of(arena, new Scheme.Int8(), 16, 300, 8));
        for (boolean symmetric : new boolean[] {true, false}) {
            out.add(actOrder(arena, new Scheme.Int4(Grouping.group(32), symmetric), 33, 320, true));
            out.add(actOrder(arena, new Scheme.Int4(Grouping.group(128), symmetric, DType.BF16), 20, 300, true));
            out.add(actOrder(arena, new Scheme.Int4(Grouping.group(64), symmetric), 17, 131, false));
        }
        return out;
    }

    /** @param even whether every group has as many columns as a group in order would have */
    public static QuantizedMatrix actOrder(Arena arena, Scheme.Int4 scheme, long n, int k, boolean even) {
        SplittableRandom random = new SplittableRandom(k);
        QuantizedMatrix plain = RandomMatrix.of(arena, scheme, n, k, k);
        int size = ((Grouping.PerGroup) scheme.grouping()).size();
        int count = Math.ceilDiv(k, size);
        Tensor groups = Tensor.allocate(arena, DType.I32, k);
        int[] order = new int[k];
        for (int i = 0; i < k; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        for (int i = 0; i < k; i++) {
            int group = even ? order[i] / size : random.nextInt(count);
            groups.data().set(java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED, 4L * i, group);
        }
        return QuantizedMatrix.int4(scheme, n, k, plain.codes(), plain.scales(), plain.zeros(), groups);
    }
}
