package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * 4-bit weights in records with BF16 or F16 activations on Ada: {@code w4_mma.cuh}. The 8 warps of a block share a band of 64
 * rows of W and cut K; where there are few blocks, several cut K further and add their sums in the stream's workspace.
 *
 * <p>INT4, MXFP4 and NVFP4 round no operand. The values of NF4 and FP4 are rounded to the type of x.
 */
final class W4MmaProduct implements ProductKernel {
    static final List<W4MmaProduct> ALL = List.of(new W4MmaProduct(new MmaTile(8, 1, 4, 0.4)), new W4MmaProduct(new MmaTile(16, 1, 4, 0.9)),
            new W4MmaProduct(new MmaTile(32, 1, 2, 0.9)), new W4MmaProduct(new MmaTile(64, 1, 2, 1.8)));

    private static final int WARPS = 8;
    private static final int MOST_STAGES = 4;
    /** Shared memory of a block: 99 KiB, less what the kernel keeps of its own. */
    private static final int MOST_SHARED = (99 << 10) - 128;
    private static final int TABLE_BYTES = 256 * 8 * 4;

    private final MmaTile tile;

    private W4MmaProduct(MmaTile tile) {
        this.tile = tile;
    }

    @Override
    public String name() {
        return "w4-mma-" + tile.tokens();
    }

    @Override
    public String file(Scheme scheme) {
        return "w4_mma_" + (W4Functions.takes(scheme) ? kind(scheme) : "int4");
    }

    @Override
    public String description() {
        return tile.tokens() + " rows of x, 64 rows of W, K cut over " + tile.parts() + " groups of warps and up to " + MmaTile.MOST_SPLIT
                + " blocks, mma.sync m16n8k16, cp.async, f32 sums scaled by group";
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return W4Functions.takes(scheme) ? W4Functions.names(kernel(scheme)) : List.of();
    }

    private static String kind(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Int4 s -> s.scaleType() == DType.F32 || s.grouping() instanceof Grouping.PerGroup g && g.size() < RecordLayout.SPAN
                    ? "int4_fine" : "int4";
            case Scheme.Bnb4 s -> s.doubleQuant() ? "table_nested" : "table_f32";
            default -> "e2m1";
        };
    }

    private String kernel(Scheme scheme) {
        return "w4mma" + tile.tokens() + "_" + kind(scheme);
    }

    @Override
    public boolean runsOn(Architecture architecture) {
        return architecture == Architecture.SM89;
    }

    @Override
    public WeightLayout layout(MatrixShape w) {
        return RecordLayout.INSTANCE;
    }

    @Override
    public boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling) {
        return scaling == null && (x == DType.BF16 || x == DType.F16) && RecordLayout.INSTANCE.fits(w);
    }

    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return W4DecodeProduct.INSTANCE.operandRounding(scheme, x);
    }

    private int stageBytes(RecordLayout.Sizes sizes) {
        return tile.parts() * (tile.tokens() * RecordLayout.SPAN * 2 + sizes.recordBytes());
    }

    private static int besides(Scheme scheme, RecordLayout.Sizes sizes) {
        return (scheme instanceof Scheme.Bnb4 ? TABLE_BYTES : 0) + (sizes.scaleMode() == RecordLayout.SCALE_NESTED ? W4Functions.MAP_BYTES : 0);
    }

    /** At least two fit: the largest records have 5376 bytes. */
    private int stages(Scheme scheme, RecordLayout.Sizes sizes) {
        return Math.min(MOST_STAGES, (MOST_SHARED - besides(scheme, sizes)) / stageBytes(sizes));
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        Scheme scheme = weights.shape().scheme();
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(weights.shape());
        int stages = stages(scheme, sizes);
        MemorySegment[] shapes = new MemorySegment[MmaTile.MOST_SPLIT + 1];
        for (int split = 1; split <= MmaTile.MOST_SPLIT; split++) {
            shapes[split] = weights.arena().allocate(12, 4);
            shapes[split].setAtIndex(ValueLayout.JAVA_INT, 0, split);
            shapes[split].setAtIndex(ValueLayout.JAVA_INT, 1, stages);
            shapes[split].setAtIndex(ValueLayout.JAVA_INT, 2, Math.toIntExact(Math.ceilDiv(sizes.spans(), (long) split)));
        }
        LaunchConfig config = LaunchConfig.of(32 * WARPS).withShared(stages * stageBytes(sizes) + besides(scheme, sizes));
        return new Prepared(this, weights, sizes, W4Functions.load(kernels, file(scheme), kernel(scheme), MOST_SHARED), shapes, config,
                kernels.context().device().multiprocessors());
    }

    private record Prepared(W4MmaProduct kernel, LayerWeights weights, RecordLayout.Sizes sizes, W4Functions functions, MemorySegment[] shapes,
            LaunchConfig config, int processors) implements Product {
        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            MmaTile tile = kernel.tile;
            int split = tile.split(sizes, m, processors);
            long workspace = split > 1 ? stream.workspace() : 0;
            long k = weights.shape().k();
            long n = weights.shape().n();
            long most = tile.mostRows(sizes, split);
            for (long at = 0; at < m; at += most) {
                long rows = Math.min(most, m - at);
                stream.arguments().struct(weights.matrix()).struct(shapes[split]).int64(x + 2 * at * k).int64(y + ElementTypes.bytes(yType) * at * n)
                        .int32(yType).int64(weights.bias()).int32(weights.biasType()).int64(rows).int64(workspace);
                stream.launch(functions.of(xType), config, tile.blocks(sizes, split, rows), 1, 1);
            }
        }
    }
}
