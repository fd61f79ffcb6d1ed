package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.driver.TensorMap;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Set;

/**
 * FP8 weights times FP8 activations on Hopper's tensor cores ({@code wgmma}), both read in boxes by the tensor memory
 * accelerator. Weights lie in the canonical layout, rows of K bytes, which must be a multiple of 16; other matrices are
 * left to {@link W8a8Product}.
 */
final class Fp8Kernel implements ProductKernel {
    /** What is scaled when: one scale a row of x and a row of w at the end, or scales for every 128 along K in each step. */
    enum Scales {
        ROWS, BLOCKS
    }

    /** Which operand's rows are the tensor core's: those of x (128 or 256 in a tile), or those of w (few rows of x). */
    private enum Family {
        GEMM("fp8_gemm"), FEW("fp8_few");

        private final String file;

        Family(String file) {
            this.file = file;
        }
    }

    private static final int STEP_K = 128;
    private static final int SWIZZLE_ROWS = 64;
    /** Shared memory in which eight warps turn 16 rows of 64 columns of y each. */
    private static final int STORING = 8 * 16 * 128;

    /** Steps whose scales come in one box. */
    private static final int SCALE_STEPS = 8;

    private static final int RASTER = 8;
    private static final int NARROW_RASTER = 4;
    private static final int GEMM_THREADS = 384;
    private static final String E5M2_FILE = "fp8_e5m2";
    private static final String X_E5M2_FILE = "fp8_x_e5m2";

    /**
     * All of them; {@code fp8_gemm.cu} and {@code fp8_few.cu} have the same lists, {@code fp8_e5m2.cu} has those that also
     * take weights in E5M2, {@code fp8_x_e5m2.cu} those that take activations in it.
     */
    static final List<Fp8Kernel> ALL = List.of(
            gemm(Accumulation.FAST, Scales.ROWS, 256, 128, 4),
            gemm(Accumulation.FAST, Scales.ROWS, 256, 112, 4),
            gemm(Accumulation.FAST, Scales.ROWS, 128, 224, 4),
            gemm(Accumulation.FAST, Scales.ROWS, 128, 192, 5),
            gemm(Accumulation.FAST, Scales.ROWS, 128, 176, 5),
            gemm(Accumulation.FAST, Scales.ROWS, 128, 128, 6),
            gemm(Accumulation.FAST, Scales.ROWS, 128, 96, 7),
            gemm(Accumulation.FAST, Scales.ROWS, 128, 64, 8),
            gemm(Accumulation.PRECISE, Scales.ROWS, 256, 128, 4),
            gemm(Accumulation.PRECISE, Scales.ROWS, 256, 112, 4),
            gemm(Accumulation.PRECISE, Scales.ROWS, 128, 192, 5),
            gemm(Accumulation.PRECISE, Scales.ROWS, 128, 176, 5),
            gemm(Accumulation.PRECISE, Scales.ROWS, 128, 128, 6),
            gemm(Accumulation.PRECISE, Scales.ROWS, 128, 96, 7),
            gemm(Accumulation.PRECISE, Scales.ROWS, 128, 64, 8),
            gemm(Accumulation.PRECISE, Scales.BLOCKS, 256, 128, 4),
            gemm(Accumulation.PRECISE, Scales.BLOCKS, 128, 192, 4),
            gemm(Accumulation.PRECISE, Scales.BLOCKS, 128, 128, 6),
            gemm(Accumulation.PRECISE, Scales.BLOCKS, 128, 96, 7),
            gemm(Accumulation.PRECISE, Scales.BLOCKS, 128, 64, 8),
            gemm(Accumulation.FAST, Scales.ROWS, 256, 128, 4).cut(),
            gemm(Accumulation.PRECISE, Scales.BLOCKS, 256, 128, 4).cut(),
            gemm(Accumulation.PRECISE, Scales.BLOCKS, 128, 128, 6).cut(),
            few(Accumulation.PRECISE, Scales.ROWS, 8, 64, 12, 12, 2, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 8, 128, 12, 12, 2, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 16, 64, 6, 6, 2, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 16, 64, 10, 10, 1, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 16, 64, 10, 10, 2, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 16, 128, 12, 12, 2, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 32, 64, 5, 5, 2, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 32, 64, 8, 8, 2, 2),
            few(Accumulation.PRECISE, Scales.ROWS, 32, 112, 6, 6, 1, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 64, 64, 5, 5, 1, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 64, 64, 5, 5, 2, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 64, 64, 5, 3, 2, 1),
            few(Accumulation.PRECISE, Scales.ROWS, 64, 64, 6, 6, 2, 2),
            few(Accumulation.PRECISE, Scales.ROWS, 64, 128, 8, 8, 2, 2),
            few(Accumulation.PRECISE, Scales.ROWS, 64, 112, 4, 4, 1, 1),
            few(Accumulation.FAST, Scales.ROWS, 64, 128, 8, 8, 2, 1),
            few(Accumulation.FAST, Scales.ROWS, 64, 112, 5, 5, 1, 1),
            few(Accumulation.PRECISE, Scales.BLOCKS, 16, 64, 10, 10, 1, 1),
            few(Accumulation.PRECISE, Scales.BLOCKS, 16, 64, 6, 6, 2, 1),
            few(Accumulation.PRECISE, Scales.BLOCKS, 16, 64, 10, 10, 2, 1),
            few(Accumulation.PRECISE, Scales.BLOCKS, 32, 64, 5, 5, 2, 1),
            few(Accumulation.PRECISE, Scales.BLOCKS, 32, 64, 8, 8, 2, 2),
            few(Accumulation.PRECISE, Scales.BLOCKS, 32, 112, 6, 6, 1, 1),
            few(Accumulation.PRECISE, Scales.BLOCKS, 64, 64, 5, 5, 1, 1),
            few(Accumulation.PRECISE, Scales.BLOCKS, 64, 64, 12, 12, 1, 2),
            few(Accumulation.PRECISE, Scales.BLOCKS, 64, 64, 6, 6, 2, 2),
            few(Accumulation.PRECISE, Scales.BLOCKS, 64, 96, 8, 8, 1, 2),
            few(Accumulation.PRECISE, Scales.BLOCKS, 64, 112, 4, 4, 1, 1));

    /** Those for weights in E5M2 too, by {@link #tile}. */
    private static final Set<String> E5M2 = Set.of(
            "fast_256x128_s4", "fast_128x128_s6", "precise_256x128_s4", "block_256x128_s4",
            "few_precise_16x64_s10_k1", "few_precise_16x64_s10_k2", "few_precise_64x64_s5_k1",
            "few_precise_64x64_s5_k2", "few_block_16x64_s10_k1", "few_block_64x64_s5_k1");

    /** Those for activations in E5M2 too. */
    private static final Set<String> X_E5M2 = Set.of(
            "fast_256x128_s4", "fast_128x128_s6", "precise_256x128_s4", "few_precise_16x64_s10_k1",
            "few_precise_16x64_s10_k2", "few_precise_64x64_s5_k1", "few_precise_64x64_s5_k2");

    private final Family family;
    private final Accumulation accumulation;
    private final Scales scales;
    private final int rows;
    private final int columns;
    private final int stages;
    private final int xStages;
    private final int split;
    private final int turns;
    private final int shared;
    private final int threads;
    private final boolean cut;

    private Fp8Kernel(Family family, Accumulation accumulation, Scales scales, int rows, int columns, int stages, int xStages, int split,
            int turns, int shared, int threads, boolean cut) {
        this.family = family;
        this.accumulation = accumulation;
        this.scales = scales;
        this.rows = rows;
        this.columns = columns;
        this.stages = stages;
        this.xStages = xStages;
        this.split = split;
        this.turns = turns;
        this.shared = shared;
        this.threads = threads;
        this.cut = cut;
    }

    /**
     * A persistent kernel for many rows of x ({@code fp8_gemm.cuh}).
     *
     * @param rows of a tile of y: 128 or 256
     * @param columns of a tile of y
     */
    static Fp8Kernel gemm(Accumulation accumulation, Scales scales, int rows, int columns, int stages) {
        boolean blocks = scales == Scales.BLOCKS;
        int shared = stages * (rows + columns) * STEP_K + Math.max(STORING, (blocks ? 1 : rows / 128) * Math.ceilDiv(columns, 64) * 8192)
                + (blocks ? 2 * (SCALE_STEPS * 4 * rows + 128) : 8 * columns) + 8 * (2 * stages + (blocks ? 8 : 4));
        return new Fp8Kernel(Family.GEMM, accumulation, scales, rows, columns, stages, stages, 1, 1, shared, GEMM_THREADS, false);
    }

    /** The same kernel with tiles cut along K where whole ones would leave blocks idle ({@link Cuts}): 128 columns. */
    private Fp8Kernel cut() {
        return new Fp8Kernel(family, accumulation, scales, rows, columns, stages, xStages, split, turns, shared, threads, true);
    }

    /**
     * A kernel for few rows of x ({@code fp8_few.cuh}).
     *
     * @param rows of x in a tile
     * @param columns of y in a tile, rows of w: 64 for each warpgroup but the last, which may have fewer
     * @param stages of w
     * @param xStages of x
     * @param split blocks that each sum a part of K
     * @param turns warpgroups for the same rows of w that take steps along K in turns
     */
    static Fp8Kernel few(Accumulation accumulation, Scales scales, int rows, int columns, int stages, int xStages, int split, int turns) {
        int warpgroups = Math.ceilDiv(columns, 64);
        boolean blocks = scales == Scales.BLOCKS;
        // Blocks of 128 rows of w that a tile has a part in, wherever it begins.
        int scaleRows = 128 % columns == 0 ? 1 : (columns + 111) / 128 + 1;
        int shared = (stages * columns + xStages * rows) * STEP_K + (split - 1) * rows * 64 * warpgroups / split * 4
                + 4 * (blocks ? 16 * (rows + scaleRows) : rows) + 8 * (2 * stages + xStages + 1 + (blocks ? 4 : 0));
        return new Fp8Kernel(Family.FEW, accumulation, scales, rows, columns, stages, xStages, split, turns, shared,
                128 * warpgroups * turns + (blocks ? 64 : 32), false);
    }

    @Override
    public String name() {
        return "fp8_" + tile() + (cut ? "_sk" : "");
    }

    /** Mode, tile, stages and split: the part of the entry's name that follows the types. */
    private String tile() {
        String mode = scales == Scales.BLOCKS ? "block" : accumulation == Accumulation.FAST ? "fast" : "precise";
        return family == Family.GEMM
                ? "%s_%dx%d_s%d".formatted(mode, rows, columns, stages)
                : "few_%s_%dx%d_s%d%s_k%d%s".formatted(mode, rows, columns, stages, xStages == stages ? "" : "x" + xStages, split,
                        turns > 1 ? "_t" + turns : "");
    }

    @Override
    public String file(Scheme scheme) {
        return file(e5m2(scheme), false);
    }

    @Override
    public String file(Scheme scheme, ActivationScaling scaling) {
        return file(e5m2(scheme), scaling.e5m2());
    }

    private String file(boolean e5m2, boolean xE5m2) {
        return e5m2 ? E5M2_FILE : xE5m2 ? X_E5M2_FILE : family.file;
    }

    private static boolean e5m2(Scheme scheme) {
        return scheme instanceof Scheme.Fp8 f && f.format() == Scheme.Fp8Format.E5M2;
    }

    @Override
    public String description() {
        return family == Family.GEMM
                ? "%d x %d tile of y, K step 128 in %d stages, persistent%s, wgmma, %s".formatted(rows, columns, stages,
                        cut ? ", tiles cut along K" : "", sums())
                : "%d rows of w x %d rows of x, K step 128 in %d stages (x %d), K split among %d%s, wgmma, %s".formatted(columns, rows, stages, xStages, split,
                        turns > 1 ? ", warpgroups in turns" : "", sums());
    }

    private String sums() {
        return accumulation == Accumulation.FAST ? "one sum over K" : "f32 sums of every 128 of K";
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return scheme instanceof Scheme.Fp8 && takes(scheme) ? List.of(entry(e5m2(scheme), false)) : List.of();
    }

    @Override
    public List<String> entries(Scheme scheme, ActivationScaling scaling) {
        return scheme instanceof Scheme.Fp8 && takes(scheme, scaling) ? List.of(entry(e5m2(scheme), scaling.e5m2())) : List.of();
    }

    /** Named by the types of w and x. */
    private String entry(boolean e5m2, boolean xE5m2) {
        return (e5m2 ? "fp8_e5m2_e4m3_" : xE5m2 ? "fp8_e4m3_e5m2_" : "fp8_e4m3_e4m3_") + tile();
    }

    /** Rows of x in a box: those of a tile, but no more than x has. */
    private int boxRows(long m) {
        return (int) Math.min(rows, m);
    }

    /** True where each warp stores its values of 16 bits itself: no tensor map of y ({@code OWN_STORES} of the kernel). */
    private boolean ownStores() {
        return rows == 128 || scales == Scales.BLOCKS;
    }

    /** Rows of tiles that are walked together. Narrow bands where many rows and wide y, or columns of tiles that end together, gain by them. */
    private int raster(long m, long n) {
        return m > 2048 && (columns == 112 || n > 16384) ? NARROW_RASTER : RASTER;
    }

    private boolean takes(Scheme scheme) {
        return !e5m2(scheme) || E5M2.contains(tile());
    }

    private boolean takes(Scheme scheme, ActivationScaling scaling) {
        return scaling.e5m2() ? !e5m2(scheme) && X_E5M2.contains(tile()) : takes(scheme);
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
        return accumulation;
    }

    @Override
    public boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling) {
        return scaling != null && scaling.fp8() && !scaling.mx() && w.scheme() instanceof Scheme.Fp8 f && takes(f, scaling)
                && w.k() % 16 == 0 && w.k() > 0 && switch (f.grouping()) {
                    case Grouping.PerTensor _ -> (scales == Scales.BLOCKS) == scaling.blocks();
                    case Grouping.PerChannel _ -> scales == Scales.ROWS && !scaling.blocks();
                    case Grouping.PerBlock b -> scales == Scales.BLOCKS && b.rows() == 128 && b.cols() == 128;
                    case Grouping.PerGroup _ -> false;
                };
    }

    @Override
    public boolean writesCodes() {
        return true;
    }

    /** {@inheritDoc} What is lost in the tensor core's sums on data of both signs: no bound, see {@link Accumulation}. */
    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return accumulation == Accumulation.FAST ? 0x1p-8 : 0x1p-11;
    }

    /**
     * Blocks along N of a kernel for few rows. Where nearly every multiprocessor has one, those without one get a block that only
     * waits for the kernel before: else two kernels one after the other, whose blocks are there at once, would leave some
     * multiprocessors two blocks of one product and others none.
     */
    private long blocks(long m, long n, int multiprocessors) {
        long blocks = Math.ceilDiv(n, (long) columns) * split;
        boolean nearly = m <= rows && blocks < multiprocessors && Places.nearlyAll(blocks, multiprocessors);
        return nearly ? Places.every(split, multiprocessors) : blocks;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        MatrixShape w = weights.shape();
        boolean e5m2 = e5m2(w.scheme());
        Function function = kernels.function(file(e5m2, scaling.e5m2()), entry(e5m2, scaling.e5m2())).allowShared(shared);
        long codes = weights.matrix().get(ValueLayout.JAVA_LONG, 0);
        long wScales = weights.matrix().get(ValueLayout.JAVA_LONG, 8);
        TensorMap map = new TensorMap(weights.arena()).matrix(kernels.context(), TensorMap.Type.U8, TensorMap.Swizzle.B128,
                TensorMap.Promotion.B256, codes, w.k(), w.n(), w.k(), STEP_K, columns);
        Grouping grouping = ((Scheme.Fp8) w.scheme()).grouping();
        int scaleRow = grouping instanceof Grouping.PerTensor ? 0 : grouping instanceof Grouping.PerBlock ? Math.toIntExact(Math.ceilDiv(w.k(), 128L)) : 1;
        int scaleCol = grouping instanceof Grouping.PerBlock ? 1 : 0;
        LaunchConfig config = LaunchConfig.of(threads).withCluster(split, 1, 1).withShared(shared).withOverlap();
        return new Prepared(this, weights, scaling, function, config, map, wScales, scaleRow, scaleCol, kernels.context().device().multiprocessors());
    }

    private record Prepared(Fp8Kernel kernel, LayerWeights weights, ActivationScaling scaling, Function function, LaunchConfig config,
            TensorMap wMap, long wScales, int wScaleRow, int wScaleCol, int multiprocessors) implements Product {
        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            // Rows that begin on 16-byte boundaries are written in pieces of that size.
            boolean copyOut = kernel.family == Family.GEMM && yType != ElementTypes.of(DType.F32) && weights.shape().n() % 8 == 0 && y % 16 == 0;
            enqueue(stream, m, y, yType, copyOut, 0, 1, 0, activations);
        }

        @Override
        public void enqueueCodes(Stream stream, long m, long y, ActivationScaling yScaling, float yScale, long activations) {
            long n = weights.shape().n();
            enqueue(stream, m, y, ElementTypes.ofCodes(yScaling), kernel.family == Family.GEMM, (int) Fp8Activations.pitch(n), yScale,
                    y + Fp8Activations.scalesOffset(m, n), activations);
        }

        private void enqueue(Stream stream, long m, long y, int yType, boolean copyOut, int yPitch, float yScale, long yScaleTo, long activations) {
            long n = weights.shape().n();
            long k = weights.shape().k();
            boolean gemm = kernel.family == Family.GEMM;
            long units = Math.ceilDiv(m, (long) kernel.rows) * Math.ceilDiv(n, (long) kernel.columns);
            Cuts cuts = kernel.cut ? Cuts.of(units, Math.ceilDiv(k, (long) STEP_K), multiprocessors) : Cuts.NONE;
            long workspace = cuts.runs() > 0 ? stream.workspace() : 0;
            Arguments arguments = stream.arguments();
            try {
                TensorMap xMap = arguments.map(0).matrix(stream.context(), TensorMap.Type.U8, TensorMap.Swizzle.B128, TensorMap.Promotion.B256,
                        activations, k, m, Fp8Activations.pitch(k), STEP_K, kernel.boxRows(m));
                arguments.struct(xMap).struct(wMap);
                if (gemm) {
                    boolean codes = ElementTypes.isCode(yType);
                    arguments.struct(!copyOut || !codes && kernel.ownStores() ? xMap : arguments.map(1).matrix(stream.context(),
                            codes ? TensorMap.Type.U8 : TensorMap.Type.U16, codes ? TensorMap.Swizzle.B64 : TensorMap.Swizzle.B128,
                            TensorMap.Promotion.B256, y, n, m, codes ? yPitch : 2 * n, 64, SWIZZLE_ROWS));
                    long line = Fp8Activations.scaleCol(scaling, m);
                    arguments.struct(line == 0 ? xMap : arguments.map(2).matrix(stream.context(), TensorMap.Type.F32, TensorMap.Swizzle.NONE,
                            TensorMap.Promotion.B256, activations + Fp8Activations.scalesOffset(m, k), line, Math.ceilDiv(k, STEP_K), 4 * line,
                            kernel.rows, SCALE_STEPS));
                }
                arguments.int64(activations + Fp8Activations.scalesOffset(m, k)).int64(wScales).int64(weights.bias()).int64(y).int32(yType)
                        .int32((int) m).int32((int) n).int32((int) k).int32(Fp8Activations.scaleRow(scaling))
                        .int32(Fp8Activations.scaleCol(scaling, m)).int32(wScaleRow).int32(wScaleCol);
                if (gemm) {
                    arguments.int32(copyOut ? 1 : 0).int32(kernel.raster(m, n));
                }
                arguments.int32(yPitch).int32(Float.floatToRawIntBits(yScale)).int64(yScaleTo);
                if (gemm) {
                    arguments.int64(workspace).int32(cuts.groups()).int32(cuts.runs()).int32(cuts.tiles()).int32(cuts.span()).int32(cuts.after());
                }
            } catch (RuntimeException e) {
                stream.abandon();
                throw e;
            }
            if (gemm) {
                stream.launch(function, config, cuts.runs() > 0 ? cuts.blocks() : Math.min(units, multiprocessors), 1, 1);
            } else {
                stream.launch(function, config, kernel.blocks(m, n, multiprocessors), Math.ceilDiv(m, (long) kernel.rows), 1);
            }
        }
    }
}
