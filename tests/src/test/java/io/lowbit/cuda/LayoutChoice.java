package io.lowbit.cuda;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.cuda.kernels.WeightLayout;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.Comparator;
import java.util.List;
import java.util.function.Predicate;

/**
 * A table of kernels made for tests: weights lie in one layout, and every kernel that reads it serves numbers of rows of
 * its own. One backend, and one layer of each matrix, then forces them all.
 */
final class LayoutChoice {
    /** More rows than any kernel's tile has. */
    private static final int MANY = 257;

    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};

    private final WeightLayout layout;
    /** All that read the layout, which count the rows. */
    private final List<ProductKernel> readers;
    private final List<ProductKernel> kernels;

    private LayoutChoice(WeightLayout layout, List<ProductKernel> readers, List<ProductKernel> kernels) {
        this.layout = layout;
        this.readers = readers;
        this.kernels = kernels;
    }

    /** For every layout, those of {@code architecture}. */
    static List<LayoutChoice> all(Architecture architecture) {
        return all(architecture, _ -> true);
    }

    /** The same with some of the kernels alone, for their own numbers of rows: layers then load no other's code. */
    static List<LayoutChoice> all(Architecture architecture, Predicate<ProductKernel> wanted) {
        return Catalogue.layouts().stream().map(layout -> of(architecture, layout, wanted))
                .filter(choice -> choice.kernels.stream().anyMatch(kernel -> names(kernel, choice.layout))).toList();
    }

    private static LayoutChoice of(Architecture architecture, WeightLayout layout, Predicate<ProductKernel> wanted) {
        // Those for a few rows get the fewest, for which they are made.
        List<ProductKernel> readers = Catalogue.kernels(architecture).stream().filter(kernel -> reads(kernel, layout))
                .sorted(Comparator.comparingLong(ProductKernel::mostRows).thenComparing(kernel -> !kernel.name().endsWith("decode"))).toList();
        return new LayoutChoice(layout, readers, readers.stream().filter(wanted).toList());
    }

    /** True where the kernel reads the layout for some scheme of the table; the exact ones read any. */
    private static boolean reads(ProductKernel kernel, WeightLayout layout) {
        return Schemes.ALL.stream().map(LayoutChoice::large).anyMatch(w -> supports(kernel, w) && (kernel.layout(w) == null || kernel.layout(w) == layout));
    }

    /** True where the kernel asks for the layout, or the layout is the one that nobody need ask for. */
    private static boolean names(ProductKernel kernel, WeightLayout layout) {
        return layout == Catalogue.layouts().getFirst()
                || Schemes.ALL.stream().map(LayoutChoice::large).anyMatch(w -> supports(kernel, w) && kernel.layout(w) == layout);
    }

    private static MatrixShape large(Scheme scheme) {
        return MatrixShape.plain(scheme, 4096, 4096);
    }

    /** True for some type of x and y, and activations as they come or quantized. */
    private static boolean supports(ProductKernel kernel, MatrixShape w) {
        for (DType x : TYPES) {
            for (DType y : TYPES) {
                if (kernel.supports(w, x, y, null)) {
                    return true;
                }
                for (ActivationScaling scaling : ActivationScaling.values()) {
                    if (kernel.supports(w, x, y, scaling)) {
                        return true;
                    }
                }
            }
        }
        return false;
    }

    WeightLayout layout() {
        return layout;
    }

    /** The kernels that read the layout, those that are wanted. */
    List<ProductKernel> kernels() {
        return kernels;
    }

    /** The numbers of rows that the table gives to a kernel: few, and where it takes them, more than a tile. */
    int[] rows(ProductKernel kernel) {
        int i = readers.indexOf(kernel);
        if (1 + i > kernel.mostRows()) {
            throw new AssertionError(kernel.name() + " takes at most " + kernel.mostRows() + " rows, and too many kernels before it take few");
        }
        return MANY + i > kernel.mostRows() ? new int[] {1 + i} : new int[] {1 + i, MANY + i};
    }

    KernelChoice choice() {
        StringBuilder table = new StringBuilder();
        for (ProductKernel kernel : kernels) {
            for (int m : rows(kernel)) {
                for (String x : new String[] {"*", "e4m3-*|e5m2-*|int8-*|int4-*"}) {
                    table.append("* * ").append(x).append(' ').append(m).append(" * * ").append(kernel.name()).append('\n');
                }
            }
        }
        // What no line above computes.
        return KernelChoice.byTable(table + "* * * * * * linear\n* fp8_* e4m3-*|e5m2-* * * * w8a8\n");
    }

    @Override
    public String toString() {
        return layout.name() + " layout";
    }
}
