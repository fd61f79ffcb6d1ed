package io.lowbit.cuda.kernels;

import io.lowbit.quant.Scheme;
import java.util.List;
import java.util.stream.Stream;

/** Every product kernel and every layout of weights. A new one is a line here, and lines in the choice's table. */
public final class Catalogue {
    private static final List<ProductKernel> KERNELS = Stream.of(
            List.of(ExactProduct.GEMV, ExactProduct.LINEAR, W8a8Product.INSTANCE, W4DecodeProduct.INSTANCE), W4MmaProduct.ALL,
            W4FewProduct.ALL, W4GemmProduct.ALL, Fp8Kernel.ALL, Mx8Kernel.ALL, List.of(W4a8DecodeProduct.INSTANCE), W4a8Kernel.ALL,
            W4a8MmaProduct.ALL).<ProductKernel>flatMap(List::stream).toList();

    private static final List<WeightLayout> LAYOUTS = List.of(CanonicalLayout.INSTANCE, RecordLayout.INSTANCE);

    private Catalogue() {}

    /** All kernels. */
    public static List<ProductKernel> kernels() {
        return KERNELS;
    }

    /** Those that {@code architecture}'s PTX has. */
    public static List<ProductKernel> kernels(Architecture architecture) {
        return KERNELS.stream().filter(k -> k.runsOn(architecture)).toList();
    }

    /** All layouts. */
    public static List<WeightLayout> layouts() {
        return LAYOUTS;
    }

    /** Layouts that plain matrices of {@code scheme} fit, where they are large and even enough. */
    public static List<WeightLayout> layouts(Scheme scheme) {
        MatrixShape large = MatrixShape.plain(scheme, 1 << 16, 1 << 16);
        return LAYOUTS.stream().filter(l -> l.fits(large)).toList();
    }

    /**
     * The kernel of this name.
     *
     * @throws IllegalArgumentException naming all, where there is none
     */
    public static ProductKernel kernel(String name) {
        for (ProductKernel kernel : KERNELS) {
            if (kernel.name().equals(name)) {
                return kernel;
            }
        }
        throw new IllegalArgumentException("no CUDA kernel " + name + ": expected one of "
                + String.join(", ", KERNELS.stream().map(ProductKernel::name).toList()));
    }
}
