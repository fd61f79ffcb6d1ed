package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.driver.TensorMap;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * 4-bit weights in records with BF16 or F16 activations on Hopper's warp groups: {@code w4_wgmma.cu}. W goes through
 * registers, x through the tensor memory accelerator; a cluster of blocks may cut K.
 *
 * <p>Up to 64 rows of x a tile, sums are scaled by group in f32: INT4, MXFP4 and NVFP4 round no operand, the values of NF4
 * and FP4 are rounded to the type of x. With larger tiles the scaled weight is rounded once to the type of x.
 *
 * <p>Where x does not begin at a multiple of 16 bytes, {@link W4DecodeProduct} computes the product instead.
 */
final class W4WgmmaProduct implements ProductKernel {
    /** By rows of x of a tile. */
    static final List<W4WgmmaProduct> ALL = List.of(new W4WgmmaProduct(16, 128), new W4WgmmaProduct(64, 128), new W4WgmmaProduct(64, 192),
            new W4WgmmaProduct(128, 128), new W4WgmmaProduct(256, 128));

    private static final String FILE = "w4_wgmma";
    private static final int WARP_GROUP = 128;
    /** Tiles of this many rows of x and more round the scaled weight. */
    private static final int SCALED = 128;
    private static final int MOST_SPLIT = 8;
    private static final int MOST_STAGES = 4;
    private static final int MOST_SHARED = 227 << 10;
    private static final int STAGE_ALIGNMENT = 1024;
    private static final int PAIRS_TABLE = 256 * 128;
    private static final int VALUES_TABLE = 16 * 128;
    private static final int MAP_BYTES = 4 * 256;
    /** Columns of a box of x: 128 bytes, what the swizzle permutes. */
    private static final int BOX_COLUMNS = 64;
    /** Multiprocessors of the GPUs that this was measured on. */
    private static final int PROCESSORS = 132;
    /** Blocks enough for tiles of fewer than {@link #FEW} rows of x. */
    private static final int ENOUGH = 300;
    private static final int FEW = 64;

    /** Rows of x and rows of W that a block makes. */
    private final int tokens;
    private final int rows;

    private W4WgmmaProduct(int tokens, int rows) {
        this.tokens = tokens;
        this.rows = rows;
    }

    @Override
    public String name() {
        return "w4-wgmma-" + tokens + "x" + rows;
    }

    @Override
    public String file(Scheme scheme) {
        return FILE;
    }

    @Override
    public String description() {
        return tokens + " rows of x, " + rows + " rows of W, K step 128, wgmma m64n" + tokens + "k16 with W from registers, "
                + (tokens < SCALED ? "f32 sums scaled by group" : "scaled weights rounded once");
    }

    @Override
    public List<String> entries(Scheme scheme) {
        if (!takes(scheme)) {
            return List.of();
        }
        List<String> entries = new ArrayList<>();
        for (DType x : new DType[] {DType.BF16, DType.F16}) {
            entries.add(entry(scheme, x));
        }
        return entries;
    }

    private static boolean takes(Scheme scheme) {
        return scheme instanceof Scheme.Int4 i && i.scaleType() != DType.F32 || scheme instanceof Scheme.Bnb4 || scheme instanceof Scheme.Mxfp4
                || scheme instanceof Scheme.Nvfp4;
    }

    private String entry(Scheme scheme, DType x) {
        String kind = scheme instanceof Scheme.Int4 ? "int4" : "table";
        return "w4wgmma" + tokens + "x" + rows + "_" + kind + (x == DType.BF16 ? "_bf16" : "_f16");
    }

    @Override
    public boolean runsOn(Architecture architecture) {
        return architecture == Architecture.SM90;
    }

    @Override
    public WeightLayout layout(MatrixShape w) {
        return RecordLayout.INSTANCE;
    }

    @Override
    public boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling) {
        return scaling == null && takes(w.scheme()) && w.k() % 8 == 0 && W4DecodeProduct.INSTANCE.supports(w, x, y, null);
    }

    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return tokens < SCALED ? W4DecodeProduct.INSTANCE.operandRounding(scheme, x) : x == DType.BF16 ? 0x1p-8 : 0x1p-11;
    }

    /**
     * Blocks of a cluster, while each has two records of a band. Small tiles: until there are blocks enough. Others: the
     * smallest that makes the rounds of blocks over the multiprocessors shortest; no more than two where sums are large.
     */
    private int split(RecordLayout.Sizes sizes, long m) {
        long tiles = Math.ceilDiv(sizes.bands() * RecordLayout.BAND, (long) rows) * Math.ceilDiv(m, (long) tokens);
        int best = 1;
        for (int split = 2; split <= (tokens < SCALED ? MOST_SPLIT : 2) && sizes.spans() >= 2L * split; split *= 2) {
            if (tokens < FEW ? tiles * best < ENOUGH : rounds(tiles, split) * best < rounds(tiles, best) * split) {
                best = split;
            }
        }
        return best;
    }

    private static long rounds(long tiles, int split) {
        return Math.ceilDiv(tiles * split, (long) PROCESSORS);
    }

    private int stageBytes(RecordLayout.Sizes sizes) {
        int bytes = tokens * RecordLayout.SPAN * 2 + rows / RecordLayout.BAND * sizes.recordBytes();
        return Math.ceilDiv(bytes, STAGE_ALIGNMENT) * STAGE_ALIGNMENT;
    }

    private int shared(MatrixShape w, RecordLayout.Sizes sizes, int split, int stages, long m) {
        boolean scaled = tokens >= SCALED;
        int table = w.scheme() instanceof Scheme.Int4 ? 0 : scaled ? VALUES_TABLE : PAIRS_TABLE;
        int map = w.scheme() instanceof Scheme.Int4 ? 0 : MAP_BYTES;
        int pairs = (int) (Math.min(m, tokens) + 1) / 2;
        int sums = scaled ? 0 : split * Math.ceilDiv(pairs, split) * (rows + 8) * 8;
        int bytes = stages * stageBytes(sizes) + table + map + sums + stages * 16 + 8;
        return scaled ? Math.max(bytes, tokens * (rows + 4) * 4) : bytes;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        MatrixShape w = weights.shape();
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(w);
        int stages = MOST_STAGES;
        while (shared(w, sizes, MOST_SPLIT, stages, tokens) > MOST_SHARED) {
            stages--;
        }
        // One configuration for each split; its shared memory serves any M.
        MemorySegment[] shapes = new MemorySegment[MOST_SPLIT + 1];
        LaunchConfig[] configs = new LaunchConfig[MOST_SPLIT + 1];
        for (int split = 1; split <= MOST_SPLIT; split *= 2) {
            MemorySegment shape = weights.arena().allocate(16, 4);
            shape.setAtIndex(ValueLayout.JAVA_INT, 0, split);
            shape.setAtIndex(ValueLayout.JAVA_INT, 1, stages);
            shape.setAtIndex(ValueLayout.JAVA_INT, 2, Math.toIntExact(Math.ceilDiv(sizes.spans(), (long) split)));
            shape.setAtIndex(ValueLayout.JAVA_INT, 3, stageBytes(sizes));
            shapes[split] = shape;
            int bytes = shared(w, sizes, split, stages, tokens);
            int threads = rows / RecordLayout.BAND * WARP_GROUP + (tokens >= SCALED ? WARP_GROUP : 32);
            configs[split] = LaunchConfig.of(threads).withCluster(split, 1, 1).withShared(bytes).withOverlap();
        }
        return new Prepared(kernels.context(), weights, sizes, kernels.function(FILE, entry(w.scheme(), DType.BF16)).allowShared(MOST_SHARED),
                kernels.function(FILE, entry(w.scheme(), DType.F16)).allowShared(MOST_SHARED), shapes, configs,
                W4DecodeProduct.INSTANCE.prepare(kernels, weights, null));
    }

    private final class Prepared implements Product {
        private final Context context;
        private final LayerWeights weights;
        private final RecordLayout.Sizes sizes;
        private final Function bf16;
        private final Function f16;
        private final MemorySegment[] shapes;
        private final LaunchConfig[] configs;
        private final Product unaligned;

        Prepared(Context context, LayerWeights weights, RecordLayout.Sizes sizes, Function bf16, Function f16, MemorySegment[] shapes,
                LaunchConfig[] configs, Product unaligned) {
            this.context = context;
            this.weights = weights;
            this.sizes = sizes;
            this.bf16 = bf16;
            this.f16 = f16;
            this.shapes = shapes;
            this.configs = configs;
            this.unaligned = unaligned;
        }

        @Override
        public ProductKernel kernel() {
            return W4WgmmaProduct.this;
        }

        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            if (x % 16 != 0) {
                unaligned.enqueue(stream, m, x, xType, y, yType, activations);
                return;
            }
            boolean isBf16 = xType == ElementTypes.of(DType.BF16);
            int split = split(sizes, m);
            long k = weights.shape().k();
            Arguments arguments = stream.arguments();
            TensorMap map = arguments.map(0).matrix(context, isBf16 ? TensorMap.Type.BF16 : TensorMap.Type.F16, TensorMap.Swizzle.B128,
                    TensorMap.Promotion.B128, x, k, m, 2 * k, BOX_COLUMNS, tokens);
            arguments.struct(weights.matrix()).struct(shapes[split]).struct(map).int64(y).int32(yType).int64(weights.bias())
                    .int32(weights.biasType()).int64(m);
            stream.launch(isBf16 ? bf16 : f16, configs[split], Math.ceilDiv(m, (long) tokens) * split,
                    Math.ceilDiv(sizes.bands() * RecordLayout.BAND, (long) rows), 1);
        }
    }
}
