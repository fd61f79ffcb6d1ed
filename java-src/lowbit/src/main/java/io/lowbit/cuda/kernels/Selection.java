package io.lowbit.cuda.kernels;

import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The kernels that may serve one layer, made ready: for each type of x and y and quantization of x, by M. */
public final class Selection {
    private static final int TYPES = 3;
    private static final int ACCUMULATIONS = Accumulation.values().length;

    /** Products in order of preference with the M they are for, by {@link #index}. */
    private final Entry[][] entries;

    private Selection(Entry[][] entries) {
        this.entries = entries;
    }

    private record Entry(long from, long to, Product product) {}

    private static int index(DType x, DType y, ActivationScaling scaling, Accumulation accumulation) {
        return ((scaling == null ? 0 : 1 + scaling.ordinal() * ACCUMULATIONS + accumulation.ordinal()) * TYPES + ElementTypes.of(x)) * TYPES + ElementTypes.of(y);
    }

    /** The product for M rows; null where no kernel quantizes activations for this scheme. */
    public Product pick(long m, DType x, DType y, ActivationScaling scaling, Accumulation accumulation) {
        for (Entry entry : entries[index(x, y, scaling, accumulation)]) {
            if (m >= entry.from && m <= entry.to) {
                return entry.product;
            }
        }
        return null;
    }

    /** Collects entries; each kernel is prepared once for each quantization of activations. */
    static final class Builder {
        private record Key(ProductKernel kernel, ActivationScaling scaling) {}

        private final Kernels kernels;
        private final LayerWeights weights;
        private final List<List<Entry>> lists = new ArrayList<>();
        private final Map<Key, Product> prepared = new HashMap<>();

        Builder(Kernels kernels, LayerWeights weights) {
            this.kernels = kernels;
            this.weights = weights;
            for (int i = 0; i < (1 + ActivationScaling.values().length * ACCUMULATIONS) * TYPES * TYPES; i++) {
                lists.add(new ArrayList<>());
            }
        }

        void add(DType x, DType y, ActivationScaling scaling, Accumulation accumulation, long from, long to, ProductKernel kernel) {
            List<Entry> list = lists.get(index(x, y, scaling, accumulation));
            // Whatever stands behind a product for any M is never asked for.
            if (list.isEmpty() || list.getLast().from > 1 || list.getLast().to < Long.MAX_VALUE) {
                Product product = prepared.computeIfAbsent(new Key(kernel, scaling), key -> prepare(kernel, scaling));
                list.add(new Entry(from, to, product));
            }
        }

        /** FP8 and MXFP8 weights are there to be multiplied in FP8; other quantized activations are rare, and not worth compiling for until asked. */
        private Product prepare(ProductKernel kernel, ActivationScaling scaling) {
            if (scaling != null && (!(weights.shape().scheme() instanceof Scheme.Fp8 || weights.shape().scheme() instanceof Scheme.Mxfp8) || scaling.e5m2())) {
                return new LazyProduct(kernels, weights, kernel, scaling);
            }
            Product product = kernel.prepare(kernels, weights, scaling);
            return weights.order() == 0 ? product : new GatheredProduct(kernels, weights, product);
        }

        Selection build() {
            return new Selection(lists.stream().map(l -> l.toArray(Entry[]::new)).toArray(Entry[][]::new));
        }
    }
}
