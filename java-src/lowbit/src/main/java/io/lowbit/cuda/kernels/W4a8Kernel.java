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
import java.util.ArrayList;
import java.util.List;

/**
 * INT4 weights in records times activations of 8 bits on Hopper's tensor cores: {@code w4a8_gemm.cuh} and {@code w4a8_few.cuh}.
 * Weights become E4M3 or s8 in registers, exactly: code − zero is an integer of at most 4 bits and a sign. The sums of a group, or
 * of 128 along K, are scaled and added in f32. Groups are multiples of 128, whole rows, or for kernels of their own 32 or 64.
 *
 * <p>E4M3: the tensor core's sums of 128 keep about 14 bits. INT8: they are integers, and exact.
 */
final class W4a8Kernel implements ProductKernel {
    /** The activations' type. */
    private enum Type {
        E4M3("e4m3", Accumulation.PRECISE, 0x1p-11), S8("s8", Accumulation.EXACT, 0);

        private final String label;
        private final Accumulation accumulation;
        private final double rounding;

        Type(String label, Accumulation accumulation, double rounding) {
            this.label = label;
            this.accumulation = accumulation;
            this.rounding = rounding;
        }
    }

    /** Shared memory of a multiprocessor, and what each block takes beside its own. */
    private static final int SHARED_OF_MULTIPROCESSOR = 228 << 10;
    private static final int BLOCK_RESERVED = 1 << 10;
    /** The part of the multiprocessors from which on those without a block get one that waits. */
    private static final double NEARLY = 0.9;
    private static final int STEP_K = 128;
    private static final int BAND = RecordLayout.BAND;
    private static final int GEMM_THREADS = 384;
    private static final int GEMM_COLUMNS = 128;
    private static final int RASTER = 4;
    /** Warpgroups of the kernels for many rows, each with a band of w. */
    private static final int CONSUMERS = 2;
    /** Spans of K in the time that it costs to give away, to fetch or to store a tile's sums, with what L2 loses where blocks are at different K. */
    private static final double SEAM = 8;

    /** All of them; {@code w4a8_kernels.cuh} has the same list. */
    static final List<W4a8Kernel> ALL = all();

    private final Type type;
    private final boolean few;
    private final int tokens;
    private final int columns;
    private final int ways;
    private final int stages;
    private final int split;
    private final int groups;
    private final boolean cut;

    private W4a8Kernel(Type type, boolean few, int tokens, int columns, int ways, int stages, int split, int groups, boolean cut) {
        this.type = type;
        this.few = few;
        this.tokens = tokens;
        this.columns = columns;
        this.ways = ways;
        this.stages = stages;
        this.split = split;
        this.groups = groups;
        this.cut = cut;
    }

    private static List<W4a8Kernel> all() {
        List<W4a8Kernel> all = new ArrayList<>();
        for (Type type : Type.values()) {
            all.add(few(type, 16, 1, 4, 16, 1, 1));
            all.add(few(type, 16, 1, 2, 12, 2, 1));
            all.add(few(type, 16, 1, 2, 12, 1, 1));
            all.add(few(type, 16, 1, 2, 8, 4, 1));
            all.add(few(type, 32, 1, 2, 10, 2, 1));
            all.add(few(type, 32, 1, 2, 10, 1, 1));
            all.add(few(type, 32, 1, 2, 6, 4, 1));
            all.add(few(type, 64, 1, 3, 9, 2, 1));
            all.add(few(type, 64, 1, 2, 6, 2, 1));
            all.add(few(type, 64, 1, 2, 6, 1, 1));
            all.add(few(type, 64, 2, 2, 8, 2, 1));
            all.add(few(type, 128, 2, 1, 4, 2, 1));
            all.add(gemm(type, 128, 7, 1, false));
            all.add(gemm(type, 128, 7, 1, true));
            all.add(gemm(type, 256, 4, 1, false));
            all.add(gemm(type, 256, 4, 1, true));
            for (int groups = 2; groups <= 4; groups *= 2) {
                all.add(few(type, 16, 1, 2, 12, 2, groups));
                all.add(few(type, 16, 1, 2, 12, 1, groups));
                all.add(few(type, 64, 1, 3, 9, 2, groups));
                all.add(few(type, 64, 1, 3, 9, 1, groups));
                all.add(gemm(type, 128, 7, groups, false));
                all.add(gemm(type, 256, 3, groups, false));
                all.add(gemm(type, 256, 3, groups, true));
            }
        }
        return List.copyOf(all);
    }

    /**
     * A persistent kernel for many rows of x.
     *
     * @param tokens rows of x in a tile
     * @param groups of a record: 1 for groups of a multiple of 128 columns and for rows
     * @param cut the K of tiles is cut as finely as it goes, not where it pays: for tests
     */
    private static W4a8Kernel gemm(Type type, int tokens, int stages, int groups, boolean cut) {
        return new W4a8Kernel(type, false, tokens, GEMM_COLUMNS, 1, stages, 1, groups, cut);
    }

    /**
     * A kernel for few rows of x.
     *
     * @param tokens rows of x in a tile
     * @param bands of 64 rows of w in a block
     * @param ways warpgroups that take the records of a band in turns
     * @param split blocks that each sum a part of K
     */
    private static W4a8Kernel few(Type type, int tokens, int bands, int ways, int stages, int split, int groups) {
        return new W4a8Kernel(type, true, tokens, BAND * bands, ways, stages, split, groups, false);
    }

    @Override
    public String name() {
        return cut ? tile() + "_cut" : tile();
    }

    private String tile() {
        String tile = few ? "w4a8_few_%s_%dx%d_w%d_s%d_k%d".formatted(type.label, tokens, columns, ways, stages, split)
                : "w4a8_%s_%dx%d_s%d".formatted(type.label, tokens, columns, stages);
        return groups > 1 ? tile + "_g" + width() : tile;
    }

    /** Columns whose sums are scaled together. */
    private int width() {
        return STEP_K / groups;
    }

    @Override
    public String file(Scheme scheme) {
        return "w4a8_" + type.label + (groups > 1 ? "_g" + width() : scheme instanceof Scheme.Int4 s ? zero(s) : "");
    }

    @Override
    public String description() {
        return few
                ? "%d rows of w x %d rows of x, K step 128 in %d stages, %d records of a band at once, K split among %d, wgmma %s, f32 sums of every %d of K"
                        .formatted(columns, tokens, stages, ways, split, type.label, width())
                : "%d x %d tile of y, K step 128 in %d stages, persistent, wgmma %s with W from registers, f32 sums of every %d of K, tiles cut %s"
                        .formatted(tokens, columns, stages, type.label, width(), cut ? "as finely as it goes" : "where it pays");
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return scheme instanceof Scheme.Int4 s ? List.of(entry(s)) : List.of();
    }

    private String entry(Scheme.Int4 scheme) {
        return groups > 1 ? tile() : tile() + zero(scheme);
    }

    private static String zero(Scheme.Int4 scheme) {
        return scheme.symmetric() ? "" : "_zero";
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
    public Accumulation accumulation() {
        return type.accumulation;
    }

    @Override
    public boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling) {
        return takes(w, scaling) && scaling.fp8() == (type == Type.E4M3) && Math.max(1, RecordLayout.Sizes.of(w).groups()) == groups;
    }

    /**
     * True for INT4 in groups of 32, 64 or a multiple of 128, or rows, without act-order, and E4M3 or INT8 activations with a scale a
     * row or one for all.
     */
    static boolean takes(MatrixShape w, ActivationScaling scaling) {
        return scaling != null && !scaling.blocks() && !scaling.e5m2() && !scaling.mx() && scaling != ActivationScaling.ROW_INT4 && takes(w);
    }

    /** True for INT4 whose scales are 16 bits of groups, or rows', without act-order. */
    static boolean takes(MatrixShape w) {
        if (!(w.scheme() instanceof Scheme.Int4) || w.actOrder() || !RecordLayout.INSTANCE.fits(w)) {
            return false;
        }
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(w);
        return sizes.groups() == 0 || sizes.scaleMode() != RecordLayout.SCALE_F32;
    }

    /** {@inheritDoc} E4M3: what is lost in the tensor core's sums on data of both signs; no bound, see {@link Accumulation}. */
    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return type.rounding;
    }

    private int shared() {
        int bands = columns / BAND;
        int x = stages * tokens * STEP_K;
        // Space for a record: codes, 16-bit scales and zero points, whole lines of 128 bytes.
        int records = stages * bands * RecordLayout.wholeLines(BAND * STEP_K / 2 + groups * BAND * 3);
        if (few) {
            int rows = columns / split;
            return x + records + 4 * split * ways * tokens * (rows + 4) + 4 * tokens + 8 * rows + 16 * stages;
        }
        return x + Math.ceilDiv(records, 1024) * 1024 + bands * tokens * 128 + 16 * stages + 8 * bands;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        int shared = shared();
        Function function = kernels.function(file(weights.shape().scheme()), entry((Scheme.Int4) weights.shape().scheme())).allowShared(shared);
        int threads = few ? columns / BAND * ways * 128 + 32 : GEMM_THREADS;
        LaunchConfig config = LaunchConfig.of(threads).withCluster(split, 1, 1).withShared(shared).withOverlap();
        // What always cuts waits for nobody if it may leave the rest to others.
        StreamK.Cost cost = new StreamK.Cost(cut ? 0 : SEAM, 4L * tokens * columns, CONSUMERS);
        int spans = Math.toIntExact(RecordLayout.Sizes.of(weights.shape()).spans());
        return new Prepared(this, weights, spans, scaling, function, config, kernels.context().device().multiprocessors(), cost);
    }

    private record Prepared(W4a8Kernel kernel, LayerWeights weights, int spans, ActivationScaling scaling, Function function, LaunchConfig config,
            int multiprocessors, StreamK.Cost cost) implements Product {
        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            long n = weights.shape().n();
            long k = weights.shape().k();
            int tokens = kernel.tokens;
            // The copy engine writes rows that begin on 16-byte boundaries.
            boolean copyOut = !kernel.few && yType != ElementTypes.of(DType.F32) && n % 8 == 0 && y % 16 == 0;
            long tiles = Math.ceilDiv(m, (long) tokens) * Math.ceilDiv(n, (long) kernel.columns);
            StreamK way = kernel.few ? null : StreamK.choose(tiles, spans, multiprocessors, cost);
            long workspace = way != null && way.whole() < tiles ? stream.workspace() : 0;
            Arguments arguments = stream.arguments();
            try {
                TensorMap xMap = arguments.map(0).matrix(stream.context(), TensorMap.Type.U8, TensorMap.Swizzle.B128, TensorMap.Promotion.B256,
                        activations, Fp8Activations.pitch(k), m, Fp8Activations.pitch(k), STEP_K, tokens);
                arguments.struct(weights.matrix()).struct(xMap);
                if (!kernel.few) {
                    arguments.struct(copyOut ? arguments.map(1).matrix(stream.context(), TensorMap.Type.U16, TensorMap.Swizzle.B128,
                            TensorMap.Promotion.B256, y, n, m, 2 * n, BAND, tokens / StreamK.CHUNKS) : xMap);
                }
                arguments.int64(activations + Fp8Activations.scalesOffset(m, k)).int64(weights.bias()).int64(y).int32(weights.biasType())
                        .int32(yType).int32((int) m).int32(Fp8Activations.scaleRow(scaling));
                if (!kernel.few) {
                    arguments.int32(copyOut ? 1 : 0).int32(RASTER).int32((int) way.whole()).int32(kernel.cut ? 0 : StreamK.PATIENCE).int64(workspace);
                }
            } catch (RuntimeException e) {
                stream.abandon();
                throw e;
            }
            if (kernel.few) {
                long blocks = Math.ceilDiv(n, (long) kernel.columns) * kernel.split;
                stream.launch(function, config, m <= tokens ? padded(blocks) : blocks, Math.ceilDiv(m, (long) tokens), 1);
            } else {
                stream.launch(function, config, way.workers(), 1, 1);
            }
        }

        /**
         * Blocks with those that wait: where there is nearly one for each multiprocessor, and room for two, the blocks of two launches lie
         * in pairs then, instead of two of one launch here and none of it there.
         */
        private long padded(long blocks) {
            boolean pairs = 2L * (kernel.shared() + BLOCK_RESERVED) <= SHARED_OF_MULTIPROCESSOR;
            return pairs && blocks < multiprocessors && blocks >= NEARLY * multiprocessors ? Places.every(kernel.split, multiprocessors) : blocks;
        }
    }
}
