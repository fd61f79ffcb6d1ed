package io.lowbit.cuda.kernels;

import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;

/**
 * One way to compute y = x · Wᵀ (+ bias), and with activations as they come y = y + x · Wᵀ (+ bias): a kernel with its tile, stages and constraints. {@link Catalogue} lists them
 * all, {@link KernelChoice} picks one for each product.
 *
 * <p>Every kernel sums in a fixed order: two runs give the same bits. It keeps the bound
 * |y − y₆₄| ≤ ((K+2)·2⁻²⁴ + {@link #operandRounding}) · Σ|x||w| plus the rounding to y's type.
 */
public interface ProductKernel {
    /** Unique; what {@code -Dlowbit.cuda.kernel} takes. */
    String name();

    /** Name of the source file in {@code kernels-cuda} that has its entry points for {@code scheme}, without the ending. */
    String file(Scheme scheme);

    /** {@link #file(Scheme)} for activations quantized so. */
    default String file(Scheme scheme, ActivationScaling scaling) {
        return file(scheme);
    }

    /** Tile, stages and constraints in a few words, for lists. */
    String description();

    /** Names of the entry points that it uses for {@code scheme}, without the architecture they begin with. */
    List<String> entries(Scheme scheme);

    /** {@link #entries(Scheme)} for activations quantized so. */
    default List<String> entries(Scheme scheme, ActivationScaling scaling) {
        return entries(scheme);
    }

    /** True where the PTX of {@code architecture} has it. */
    boolean runsOn(Architecture architecture);

    /**
     * The layout it reads, for a matrix that it {@link #supports}; null for one that reads them all, as the exact kernels
     * do.
     */
    WeightLayout layout(MatrixShape w);

    /**
     * True where it can compute the product. Beware of {@link MatrixShape#divided}: a kernel that ignores it is wrong. Of act-order
     * it need know nothing where the layout sorts columns: a {@link GatheredProduct} brings those of x into the same order before it.
     *
     * @param scaling how activations are quantized; null for products with activations as they come
     */
    boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling);

    /** The largest M it takes. */
    default long mostRows() {
        return Long.MAX_VALUE;
    }

    /**
     * The largest relative rounding of a product x·w before it is summed: 0 where operands count as they are, 2⁻⁸ where
     * scaled weights are rounded to BF16, 2⁻¹¹ to F16. Where the tensor core's sums keep fewer bits than f32, what that loses
     * counts here too.
     */
    default double operandRounding(Scheme scheme, DType x) {
        return 0;
    }

    /** How it sums products of quantized activations; it serves where at least that is allowed. */
    default Accumulation accumulation() {
        return Accumulation.EXACT;
    }

    /** True where its products can be written as codes of 8 bits: {@link Product#enqueueCodes}. */
    default boolean writesCodes() {
        return false;
    }

    /**
     * Makes the kernel ready for a layer. What outlives the call and is not Java heap comes from {@code weights.arena()}.
     *
     * @throws io.lowbit.cuda.driver.CudaException when the driver refuses the PTX
     */
    Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling);
}
