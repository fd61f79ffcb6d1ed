package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;

/**
 * Kernels that take every layout, shape and type and round no operand. They serve where no fast kernel does, and are
 * what fast kernels are compared with.
 */
final class ExactProduct implements ProductKernel {
    /** One warp a column, f32 arithmetic; each block holds 8 rows, so up to 8 rows decode each weight once. */
    static final ExactProduct GEMV = new ExactProduct("gemv", 128, 8, 4,
            "one warp a column, 8 rows a block, f32 fused multiply-add, no operand rounded");

    /** Tensor cores on bf16 pieces that add up to the operands. */
    static final ExactProduct LINEAR = new ExactProduct("linear", 128, 64, 64,
            "64 x 64 tile, K step 32, mma.sync bf16 on exact pieces, no operand rounded");

    private static final long MOST_BLOCKS_Y = 65535;

    private final String name;
    private final int threads;
    private final int rows;
    private final int columns;
    private final String description;

    private ExactProduct(String name, int threads, int rows, int columns, String description) {
        this.name = name;
        this.threads = threads;
        this.rows = rows;
        this.columns = columns;
        this.description = description;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String file(Scheme scheme) {
        return SchemeKernels.file(name, scheme);
    }

    @Override
    public String description() {
        return description;
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return Catalogue.layouts(scheme).stream().map(l -> name + "_" + l.suffix(scheme)).toList();
    }

    @Override
    public boolean runsOn(Architecture architecture) {
        return true;
    }

    @Override
    public WeightLayout layout(MatrixShape w) {
        return null;
    }

    @Override
    public boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling) {
        return scaling == null;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        Scheme scheme = weights.shape().scheme();
        Function function = kernels.function(file(scheme), name + "_" + weights.layout().suffix(scheme));
        int pieces = SchemeKernels.weightPieces(scheme);
        long n = weights.shape().n();
        return new Product() {
            @Override
            public ProductKernel kernel() {
                return ExactProduct.this;
            }

            @Override
            public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
                Arguments arguments = stream.arguments();
                arguments.struct(weights.matrix()).int64(x).int32(xType).int64(y).int32(yType).int64(weights.bias()).int32(weights.biasType())
                        .int64(m);
                if (ExactProduct.this == LINEAR) {
                    arguments.int32(pieces);
                }
                stream.launch(function, Math.ceilDiv(n, (long) columns), Math.min(MOST_BLOCKS_Y, Math.ceilDiv(m, (long) rows)), threads, 0);
            }
        };
    }
}
