package io.lowbit.cuda.kernels;

import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/**
 * Which kernel makes a product, by (device, scheme, M, N, K, type of x): from the measured table in {@code choice.txt}, or
 * one kernel wherever it can. The rows of a product never depend on which other rows are computed with them, but kernels
 * sum in different orders, so they may depend on M.
 *
 * <p>A layer's weights lie in one layout. It is that of the forced kernel where there is one, else that of the table's
 * first line whose kernel can compute any product of the matrix; lines whose kernels read another layout are passed over.
 *
 * <p>The system property {@value #PROPERTY} forces a kernel by its name in {@link Catalogue}, for tests and benchmarks.
 */
public final class KernelChoice {
    /** Name of the system property that forces the choice. */
    public static final String PROPERTY = "lowbit.cuda.kernel";

    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};

    private static final Accumulation[] EXACT = {Accumulation.EXACT};

    private final ProductKernel forced;
    private final KernelTable table;

    private KernelChoice(ProductKernel forced, KernelTable table) {
        this.forced = forced;
        this.table = table;
    }

    /** By the table in the jar. */
    public static KernelChoice byTable() {
        return new KernelChoice(null, KernelTable.fromJar());
    }

    /** By a table given as text, for measurements. */
    public static KernelChoice byTable(String text) {
        return new KernelChoice(null, KernelTable.parse(text));
    }

    /**
     * The kernel of this name wherever it supports the product, the table elsewhere.
     *
     * @throws IllegalArgumentException when there is no such kernel
     */
    public static KernelChoice always(String kernel) {
        return new KernelChoice(Catalogue.kernel(kernel), KernelTable.fromJar());
    }

    /**
     * By the table, or as the property forces it.
     *
     * @throws IllegalArgumentException when the property names no kernel
     */
    public static KernelChoice fromProperty() {
        String name = System.getProperty(PROPERTY);
        if (name == null) {
            return byTable();
        }
        try {
            return always(name);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("-D" + PROPERTY + "=" + name + ": " + e.getMessage(), e);
        }
    }

    /** The layout for a matrix. */
    public WeightLayout layout(Kernels kernels, MatrixShape w) {
        for (ProductKernel kernel : order(kernels, w)) {
            WeightLayout layout = kernel.layout(w);
            // Exact kernels read any layout and so name none.
            if (layout != null && layout.fits(w)) {
                return layout;
            }
        }
        return CanonicalLayout.INSTANCE;
    }

    /** The kernels that may serve a matrix, in order of preference. */
    private List<ProductKernel> order(Kernels kernels, MatrixShape w) {
        List<ProductKernel> order = new ArrayList<>();
        if (forced != null && forced.runsOn(kernels.architecture()) && supportsAny(forced, w)) {
            order.add(forced);
        }
        for (KernelTable.Rule rule : table.rules(kernels)) {
            if (matchesAny(rule, w)) {
                order.add(rule.kernel());
            }
        }
        return order;
    }

    private static boolean supportsAny(ProductKernel kernel, MatrixShape w) {
        for (DType x : TYPES) {
            for (DType y : TYPES) {
                for (int s = 0; s <= ActivationScaling.values().length; s++) {
                    if (kernel.supports(w, x, y, scaling(s))) {
                        return true;
                    }
                }
            }
        }
        return false;
    }

    private static boolean matchesAny(KernelTable.Rule rule, MatrixShape w) {
        for (DType x : TYPES) {
            for (DType y : TYPES) {
                for (int s = 0; s <= ActivationScaling.values().length; s++) {
                    if (rule.fits(w, x, scaling(s)) && rule.kernel().supports(w, x, y, scaling(s))) {
                        return true;
                    }
                }
            }
        }
        return false;
    }

    private static ActivationScaling scaling(int index) {
        return index == 0 ? null : ActivationScaling.values()[index - 1];
    }

    /** Prepares every kernel that may serve a layer. */
    public Selection prepare(Kernels kernels, LayerWeights weights) {
        Selection.Builder builder = new Selection.Builder(kernels, weights);
        List<KernelTable.Rule> rules = table.rules(kernels);
        for (DType x : TYPES) {
            for (DType y : TYPES) {
                for (int s = 0; s <= ActivationScaling.values().length; s++) {
                    ActivationScaling scaling = scaling(s);
                    for (Accumulation accumulation : scaling == null ? EXACT : Accumulation.values()) {
                        if (forced != null && forced.runsOn(kernels.architecture()) && serves(forced, weights, x, y, scaling, accumulation)) {
                            builder.add(x, y, scaling, accumulation, 1, forced.mostRows(), forced);
                        }
                        for (KernelTable.Rule rule : rules) {
                            if (rule.fits(weights.shape(), x, scaling) && serves(rule.kernel(), weights, x, y, scaling, accumulation)) {
                                builder.add(x, y, scaling, accumulation, rule.m().from(), Math.min(rule.m().to(), rule.kernel().mostRows()),
                                        rule.kernel());
                            }
                        }
                    }
                    if (scaling == null) {
                        builder.add(x, y, null, Accumulation.EXACT, 1, Long.MAX_VALUE, ExactProduct.LINEAR);
                    }
                }
            }
        }
        return builder.build();
    }

    private static boolean serves(ProductKernel kernel, LayerWeights weights, DType x, DType y, ActivationScaling scaling,
            Accumulation accumulation) {
        WeightLayout layout = kernel.layout(weights.shape());
        return (scaling == null || accumulation.allows(kernel.accumulation())) && kernel.supports(weights.shape(), x, y, scaling) && (layout == null || layout == weights.layout());
    }
}
