package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.driver.TensorMap;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Set;

/**
 * MXFP8 weights times MXFP8 activations on Hopper's tensor cores ({@code mx8.cuh}): the sums of each 32 along K are scaled by
 * 2^(e_x + e_w) and added in f32. Weights lie in the canonical layout, rows of K bytes, which must be a multiple of 16; other
 * matrices are left to {@link W8a8Product}.
 */
final class Mx8Kernel implements ProductKernel {
    private static final String FILE = "mx8";
    private static final int STEP_K = 128;
    private static final int BLOCK = Scheme.Mxfp8.BLOCK;

    /** All of them; {@code mx8.cu} has the same list. */
    static final List<Mx8Kernel> ALL = List.of(
            new Mx8Kernel(16, 1, 10, 2, 4),
            new Mx8Kernel(64, 1, 6, 2, 4),
            new Mx8Kernel(64, 2, 7, 1, 4),
            new Mx8Kernel(128, 2, 6, 1, 2));

    /** Those for weights in E5M2 too, by {@link #tile}. */
    private static final Set<String> E5M2 = Set.of("16x64_s10_k2_p4", "64x64_s6_k2_p4", "128x128_s6_k1_p2");

    private final int rows;
    private final int columns;
    private final int stages;
    private final int split;
    private final int parts;
    private final int shared;
    private final int threads;

    /**
     * @param rows of x in a tile
     * @param warpgroups of 64 rows of w each
     * @param split blocks that each sum a part of K
     * @param parts 2 where the tensor cores multiply a block while the sums of the one before are scaled, else 1
     */
    private Mx8Kernel(int rows, int warpgroups, int stages, int split, int parts) {
        this.rows = rows;
        this.columns = 64 * warpgroups;
        this.stages = stages;
        this.split = split;
        this.parts = parts;
        int scales = stages * STEP_K / BLOCK * rows * 2;
        this.shared = stages * (rows + columns) * STEP_K + scales + (split == 1 ? 0 : split * rows * (columns / split + 4) * 4) + 8 * 2 * stages;
        this.threads = warpgroups == 2 ? 384 : 128 * warpgroups + 32;
    }

    @Override
    public String name() {
        return "mx8_" + tile();
    }

    private String tile() {
        return "%dx%d_s%d_k%d_p%d".formatted(rows, columns, stages, split, parts);
    }

    @Override
    public String file(Scheme scheme) {
        return FILE;
    }

    @Override
    public String description() {
        return "%d rows of w x %d rows of x, K step 128 in %d stages, K split among %d, wgmma, f32 sums of every 32 of K"
                .formatted(columns, rows, stages, split);
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return scheme instanceof Scheme.Mxfp8 mx && takes(mx) ? List.of(entry(mx)) : List.of();
    }

    /** Named by the types of w and x. */
    private String entry(Scheme.Mxfp8 scheme) {
        return (scheme.format() == Scheme.Fp8Format.E4M3 ? "mx8_e4m3_e4m3_" : "mx8_e5m2_e4m3_") + tile();
    }

    private boolean takes(Scheme.Mxfp8 scheme) {
        return scheme.format() == Scheme.Fp8Format.E4M3 || E5M2.contains(tile());
    }

    @Override
    public boolean runsOn(Architecture architecture) {
        return architecture == Architecture.SM90;
    }

    @Override
    public WeightLayout layout(MatrixShape w) {
        return CanonicalLayout.INSTANCE;
    }

    @Override
    public Accumulation accumulation() {
        return Accumulation.PRECISE;
    }

    @Override
    public boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling) {
        return scaling != null && scaling.mx() && w.scheme() instanceof Scheme.Mxfp8 mx && takes(mx) && w.k() % 16 == 0 && w.k() > 0;
    }

    /** {@inheritDoc} What is lost in the tensor core's sums on data of both signs: no bound, see {@link Accumulation}. */
    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return 0x1p-11;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        MatrixShape w = weights.shape();
        Function function = kernels.function(FILE, entry((Scheme.Mxfp8) w.scheme())).allowShared(shared);
        long codes = weights.matrix().get(ValueLayout.JAVA_LONG, 0);
        TensorMap map = new TensorMap(weights.arena()).matrix(kernels.context(), TensorMap.Type.U8, TensorMap.Swizzle.B128,
                TensorMap.Promotion.B256, codes, w.k(), w.n(), w.k(), STEP_K, columns);
        LaunchConfig config = LaunchConfig.of(threads).withCluster(split, 1, 1).withShared(shared).withOverlap();
        return new Prepared(this, weights, function, config, map, weights.matrix().get(ValueLayout.JAVA_LONG, 8));
    }

    private record Prepared(Mx8Kernel kernel, LayerWeights weights, Function function, LaunchConfig config, TensorMap wMap, long wScales)
            implements Product {
        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            long n = weights.shape().n();
            long k = weights.shape().k();
            long pitch = Fp8Activations.pitch(k);
            Arguments arguments = stream.arguments();
            try {
                TensorMap xMap = arguments.map(0).matrix(stream.context(), TensorMap.Type.U8, TensorMap.Swizzle.B128, TensorMap.Promotion.B256,
                        activations, k, m, pitch, STEP_K, kernel.rows);
                TensorMap scaleMap = arguments.map(1).matrix(stream.context(), TensorMap.Type.U32, TensorMap.Swizzle.NONE, TensorMap.Promotion.B128,
                        activations + Fp8Activations.scalesOffset(m, k), 2 * m, pitch / STEP_K,
                        8L * Fp8Activations.scaleCol(ActivationScaling.BLOCK32_E8M0, m), 2 * kernel.rows, 1);
                arguments.struct(xMap).struct(wMap).struct(scaleMap).int64(wScales).int64(weights.bias()).int64(y).int32(yType)
                        .int32((int) m).int32((int) n).int32((int) k).int32((int) Math.ceilDiv(k, (long) BLOCK));
            } catch (RuntimeException e) {
                stream.abandon();
                throw e;
            }
            stream.launch(function, config, Math.ceilDiv(n, (long) kernel.columns) * kernel.split, Math.ceilDiv(m, (long) kernel.rows), 1);
        }
    }
}
