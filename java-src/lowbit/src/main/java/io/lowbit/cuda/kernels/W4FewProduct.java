package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.driver.TensorMap;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * 4-bit weights in records with BF16 or F16 activations on Hopper's warp groups, for up to some hundred rows: {@code w4_few.cuh}.
 * W goes through registers, x through the tensor memory accelerator; warp groups of a block and blocks of a cluster may cut K.
 *
 * <p>Sums are scaled by group in f32, or MXFP4 and NVFP4 before that where it is exact: these and INT4 round no operand. The values of NF4
 * and FP4 are rounded to the type of x. With 128 rows a tile the scaled weight is, as in {@link W4GemmProduct}. With BF16 it is with 64 rows too where
 * there are several scales for 128 columns, for scaling the sums of each costs more than the products, and from 32 rows on for INT4 without
 * zero points, where the instruction that makes the weight of its code scales it too.
 *
 * <p>Where x does not begin at a multiple of 16 bytes, {@link W4DecodeProduct} computes the product instead.
 */
final class W4FewProduct implements ProductKernel {
    /** By rows of x, bands of 64 rows of W, parts of K of a block; blocks of a multiprocessor; whether two blocks share the last band. */
    static final List<W4FewProduct> ALL = List.of(new W4FewProduct(16, 1, 2, 2, false), new W4FewProduct(16, 2, 1, 2, false),
            new W4FewProduct(16, 3, 1, 2, false), new W4FewProduct(32, 2, 1, 2, false), new W4FewProduct(64, 1, 1, 2, false), new W4FewProduct(64, 2, 1, 1, false), new W4FewProduct(64, 3, 1, 1, false),
            new W4FewProduct(64, 4, 1, 1, false), new W4FewProduct(64, 4, 1, 1, true), new W4FewProduct(128, 2, 1, 1, false));

    /** Tiles of this many rows of x round the scaled weight. */
    private static final int SCALED = 128;
    /** Tiles of this many rows of BF16 do too, where a record has several scales for a row. */
    private static final int FINE_SCALED = 64;
    /** And of this many where it costs nothing. */
    private static final int FREELY_SCALED = 32;
    private static final int WARP_GROUP = 128;
    private static final int WARP = 32;
    private static final int WARPS_OF_GROUP = 4;
    /** Groups of columns that have kernels of their own; all others go with one scale for a record or for each 32 columns. */
    private static final int HALF_RECORD = 64;
    private static final int QUARTER_RECORD = 32;
    private static final int MOST_SPLIT = 8;
    /**
     * More only hold up x behind the weights; but where two blocks are to share a multiprocessor and have long rows to go, more
     * keep a third one out: blocks that are there unevenly take up to 1.4 times as long.
     */
    private static final int STAGES = 4;
    private static final int MOST_STAGES = 12;
    /** Where x has a ring of its own: its stages, and with a table beside it. */
    private static final int X_STAGES = 4;
    private static final int FEWER_X_STAGES = 3;
    /** Stages of records that a block has on their way at a time, and of three of a multiprocessor: with more, x waits behind them. */
    private static final int FLIGHT = 3;
    private static final int FLIGHT_OF_THIRD = 2;
    /** Of a block where two or three share a multiprocessor. */
    private static final int HALF_SHARED = 113 << 10;
    private static final int THIRD_SHARED = 75 << 10;
    private static final int STAGE_ALIGNMENT = 1024;
    /** The configuration with one block of each multiprocessor. */
    private static final int EACH_ONE = 2 * MOST_SPLIT + 1;

    /** Of an H100; other GPUs with these kernels differ little. */
    private static final int PROCESSORS = Places.PROCESSORS;
    /** The part of the blocks that there is room for below which there are too few. */
    private static final double ENOUGH = 0.7;
    /** Fewer blocks than these leave too many multiprocessors without one. */
    private static final int MOST_OF_PROCESSORS = 100;

    private final int tokens;
    private final int bands;
    private final int parts;
    private final int blocks;
    private final boolean shared;

    private W4FewProduct(int tokens, int bands, int parts, int blocks, boolean shared) {
        this.tokens = tokens;
        this.bands = bands;
        this.parts = parts;
        this.blocks = blocks;
        this.shared = shared;
    }

    @Override
    public String name() {
        return "w4-few-" + tokens + "x" + (shared ? rows() - RecordLayout.BAND / 2 : rows()) + (parts > 1 ? "-k" + parts : "");
    }

    private int rows() {
        return bands * RecordLayout.BAND;
    }

    @Override
    public String file(Scheme scheme) {
        return "w4_few_" + (takes(scheme) ? kind(scheme) : "int4");
    }

    @Override
    public String description() {
        String cut = shared ? "K of the last 64 cut over two blocks" : "K cut over " + parts + " warp groups and up to " + MOST_SPLIT + " blocks";
        return tokens + " rows of x, " + rows() + " rows of W, " + cut + ", wgmma m64n" + tokens
                + "k16 with W from registers, f32 sums scaled by group";
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return takes(scheme) ? W4Functions.names(kernel(scheme)) : List.of();
    }

    /** Which kernels there are: the general ones need more registers than the largest blocks leave. */
    private boolean takes(Scheme scheme) {
        if (!W4Functions.takes(scheme) || tokens >= SCALED && !kind(scheme).equals("int4")) {
            return false;
        }
        if (tokens == 16 && bands == 3 && !kind(scheme).startsWith("table_") || tokens < 32 && bands == 3 && kind(scheme).equals("table_any")) {
            return false;  // without a table three small blocks of a multiprocessor divide the bands better
        }
        if (tokens == 64 && bands < 3 && (bands == 1) == scheme instanceof Scheme.Bnb4) {
            return false;  // a table leaves no room for three small blocks
        }
        return tokens != 64 || bands < 4 || !kind(scheme).equals("table_any");
    }

    /** The kind of kernel for a scheme. */
    static String kind(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Int4 s -> {
                int size = s.grouping() instanceof Grouping.PerGroup g ? g.size() : 0;
                if (s.symmetric() && size == 0) {
                    yield "int4";
                }
                if (s.scaleType() == DType.F32) {
                    yield "int4_any";
                }
                String groups = size == QUARTER_RECORD ? "int4_g32" : size == HALF_RECORD ? "int4_g64" : "int4";
                yield s.symmetric() ? groups : groups + "_zeros";
            }
            case Scheme.Bnb4 s -> s.blockSize() != HALF_RECORD ? "table_any" : s.doubleQuant() ? "table_nested" : "table_f32";
            default -> scheme instanceof Scheme.Mxfp4 ? "mxfp4" : "nvfp4";
        };
    }

    /** False where all of K is less than a group: the matrix then has a scale for each row, for which its kind is not made. */
    static boolean asItsKind(MatrixShape w) {
        int groups = RecordLayout.Sizes.of(w).groups();
        return switch (kind(w.scheme())) {
            case "int4" -> groups <= 1;
            case "int4_zeros" -> groups == 1;
            case "int4_g64", "int4_g64_zeros" -> groups == 2;
            case "int4_g32", "int4_g32_zeros" -> groups == 4;
            case "int4_any" -> groups > 0;
            default -> true;
        };
    }

    private String kernel(Scheme scheme) {
        return "w4few" + tokens + "x" + bands + (shared ? "shared" : "x" + parts) + "_" + kind(scheme);
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
        boolean fits = scaling == null && takes(w.scheme()) && w.k() % 8 == 0 && W4DecodeProduct.INSTANCE.supports(w, x, y, null) && asItsKind(w);
        return fits && (tokens < SCALED || W4GemmProduct.scalesInTypeOf(x, w));
    }

    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return scales(scheme, x) ? W4GemmProduct.rounding(scheme, x) : W4DecodeProduct.INSTANCE.operandRounding(scheme, x);
    }

    /** True where weights are scaled before they are multiplied: FEW_SCALES of the kernels. */
    private boolean scales(Scheme scheme, DType x) {
        return tokens >= SCALED || x == DType.BF16 && switch (kind(scheme)) {
            case "int4", "int4_g64", "int4_g32" -> tokens >= FREELY_SCALED;
            case "int4_g64_zeros", "int4_g32_zeros", "table_f32", "table_nested" -> tokens == FINE_SCALED;
            default -> false;
        };
    }

    /** Sums of a lane that warps exchange at once: of 8 rows of x and 16 rows of W, with few rows of x 8. */
    private int unit() {
        return tokens == 16 ? 2 : 4;
    }

    /** Units of a warp's sums that each finishes of those with a part of K. */
    private int share(int split) {
        return Math.ceilDiv(tokens / 2 / unit(), split * parts);
    }

    private int partBytes(RecordLayout.Sizes sizes) {
        return Math.ceilDiv(tokens * RecordLayout.SPAN * 2 + bands * sizes.placeBytes(), STAGE_ALIGNMENT) * STAGE_ALIGNMENT;
    }

    /** Shared memory besides the stages, for any M. */
    private int besides(MatrixShape w, RecordLayout.Sizes sizes, int split) {
        int table = !(w.scheme() instanceof Scheme.Bnb4) ? 0 : wide(w.scheme()) ? W4Functions.WIDE_TABLE_BYTES : W4Functions.TABLE_BYTES;
        int map = sizes.scaleMode() == RecordLayout.SCALE_NESTED || kind(w.scheme()).equals("table_any") ? W4Functions.MAP_BYTES : 0;
        int sharers = split * parts;
        int warps = (shared ? 1 : bands * parts) * WARPS_OF_GROUP;
        int sums = sharers == 1 ? 0 : warps * sharers * share(split) * unit() * WARP * Float.BYTES;
        return table + map + sums + (MOST_STAGES + X_STAGES) * 16 + bands * parts * WARPS_OF_GROUP * 8;
    }

    /** FEW_RINGS of the kernels. */
    private boolean rings() {
        return tokens == 16 && parts > 1;
    }

    /** Stages of the ring of x. */
    private int xStages(MatrixShape w, boolean third) {
        return third || w.scheme() instanceof Scheme.Bnb4 ? FEWER_X_STAGES : X_STAGES;
    }

    /** The wide table: FEW_WIDE of the kernels. */
    private boolean wide(Scheme scheme) {
        return tokens >= 64 || tokens == 16 && bands == 2 && kind(scheme).equals("table_nested");
    }

    /** The most blocks of a cluster: two stages fit beside their sums and a wide table. */
    private int mostSplit(MatrixShape w, RecordLayout.Sizes sizes) {
        int split = 1;
        while (split < MOST_SPLIT && besides(w, sizes, split + 1) + 2 * parts * partBytes(sizes) <= W4Functions.MOST_SHARED) {
            split++;
        }
        return split;
    }

    /** At least two; of records with a ring of their own, one. */
    private int stages(MatrixShape w, RecordLayout.Sizes sizes, int split, boolean third) {
        int room = (blocks == 1 ? W4Functions.MOST_SHARED : third ? THIRD_SHARED : HALF_SHARED) - besides(w, sizes, split);
        long needed = shared ? sizes.spans() : Math.ceilDiv(Math.ceilDiv(sizes.spans(), (long) split), (long) parts);
        if (rings()) {
            int left = (room - xStages(w, third) * xBytes()) / (parts * bands * sizes.placeBytes());
            return (int) Math.max(1, Math.min(Math.min(MOST_STAGES, needed), left));
        }
        int most = blocks > 1 && needed > 2 * STAGES ? MOST_STAGES : STAGES;
        return (int) Math.max(2, Math.min(Math.min(most, needed), room / (partBytes(sizes) * parts)));
    }

    /** Of a stage of x that has a ring of its own. */
    private int xBytes() {
        return parts * tokens * RecordLayout.SPAN * 2;
    }

    private long tiles(RecordLayout.Sizes sizes, long m) {
        return Math.ceilDiv(sizes.bands(), (long) bands) * Math.ceilDiv(m, (long) tokens);
    }

    /**
     * Where a block in two for each tile is one for each multiprocessor: then there is room for the blocks of the next product too, which may
     * begin, and ask for their weights, as soon as these have. That makes one multiprocessor like the other only if there are
     * exactly as many blocks, so those that are missing just hold their places.
     */
    private boolean everyProcessorOne(Scheme scheme, RecordLayout.Sizes sizes, long m) {
        long pairs = 2 * tiles(sizes, m);
        boolean room = blocks > 1 && (rings() || !(scheme instanceof Scheme.Bnb4));  // a table leaves it for few stages
        return room && pairs <= PROCESSORS && pairs >= MOST_OF_PROCESSORS && sizes.spans() >= 4L * parts;
    }

    /** Blocks of 64 rows: three of a multiprocessor, with fewer stages, where two would leave some for a second round. */
    private boolean third(RecordLayout.Sizes sizes, long m, int split) {
        return blocks > 1 && bands == 1 && tiles(sizes, m) * split > 2L * PROCESSORS;
    }

    /**
     * Blocks of a cluster: as many as there is room for at once. Two blocks of a multiprocessor hide each other's beginnings
     * and ends; where that would leave too few of them, twice as many, but with a table, which leaves no room for a third block.
     */
    private int split(Scheme scheme, RecordLayout.Sizes sizes, long m, int most) {
        if (shared) {
            return 2;
        }
        if (everyProcessorOne(scheme, sizes, m)) {
            return 2;
        }
        long tiles = tiles(sizes, m);
        int split = 1;
        while (split < most && tiles <= Places.clusters(split + 1, blocks) && sizes.spans() >= 2L * (split + 1) * parts) {
            split++;
        }
        boolean half = blocks > 1 && !(scheme instanceof Scheme.Bnb4) && tiles * split < ENOUGH * blocks * PROCESSORS && tiles <= (long) blocks * PROCESSORS;
        return half && 2 * split <= most && sizes.spans() >= 4L * split * parts ? 2 * split : split;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        MatrixShape w = weights.shape();
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(w);
        boolean producers = tokens >= 128 || tokens >= 64 && bands * parts == 4;
        int threads = bands * parts * WARP_GROUP + (producers ? WARP_GROUP : rings() ? 2 * WARP : WARP);
        // One configuration for each split, then for each with three blocks of a multiprocessor, then for one of each; its shared memory serves any M.
        MemorySegment[] shapes = new MemorySegment[EACH_ONE + 1];
        LaunchConfig[] configs = new LaunchConfig[EACH_ONE + 1];
        for (int i = 1; i <= EACH_ONE; i++) {
            int split = i == EACH_ONE ? 2 : (i - 1) % MOST_SPLIT + 1;
            boolean third = i > MOST_SPLIT && i != EACH_ONE && !(w.scheme() instanceof Scheme.Bnb4);
            int stages = stages(w, sizes, split, third);
            int xStages = rings() ? xStages(w, third) : stages;
            MemorySegment shape = weights.arena().allocate(32, 4);
            shape.setAtIndex(ValueLayout.JAVA_INT, 0, split);
            shape.setAtIndex(ValueLayout.JAVA_INT, 1, stages);
            shape.setAtIndex(ValueLayout.JAVA_INT, 2, Math.toIntExact(Math.ceilDiv(sizes.spans(), (long) split)));
            shape.setAtIndex(ValueLayout.JAVA_INT, 3, partBytes(sizes));
            shape.setAtIndex(ValueLayout.JAVA_INT, 4, share(split));
            shape.setAtIndex(ValueLayout.JAVA_INT, 5, xStages);
            shape.setAtIndex(ValueLayout.JAVA_INT, 6, third ? FLIGHT_OF_THIRD : FLIGHT);
            shape.setAtIndex(ValueLayout.JAVA_INT, 7, i == EACH_ONE ? 1 : 0);
            shapes[i] = shape;
            int ring = rings() ? xStages * xBytes() + stages * parts * bands * sizes.placeBytes() : stages * parts * partBytes(sizes);
            int bytes = ring + besides(w, sizes, split);
            configs[i] = LaunchConfig.of(threads).withCluster(split, 1, 1).withShared(bytes).withOverlap();
        }
        return new Prepared(this, kernels.context(), weights, sizes,
                W4Functions.load(kernels, file(w.scheme()), kernel(w.scheme()), W4Functions.MOST_SHARED), shapes, configs, mostSplit(w, sizes),
                W4DecodeProduct.INSTANCE.prepare(kernels, weights, null));
    }

    private record Prepared(W4FewProduct kernel, Context context, LayerWeights weights, RecordLayout.Sizes sizes, W4Functions functions,
            MemorySegment[] shapes, LaunchConfig[] configs, int mostSplit, Product unaligned) implements Product {
        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            if (x % 16 != 0) {
                unaligned.enqueue(stream, m, x, xType, y, yType, activations);
                return;
            }
            Scheme scheme = weights.shape().scheme();
            int split = kernel.split(scheme, sizes, m, mostSplit);
            boolean each = kernel.everyProcessorOne(scheme, sizes, m);
            int config = each ? EACH_ONE : kernel.third(sizes, m, split) ? split + MOST_SPLIT : split;
            long tokenTiles = Math.ceilDiv(m, (long) kernel.tokens);
            long bandTiles = each ? PROCESSORS / (2 * tokenTiles) : Math.ceilDiv(sizes.bands(), kernel.shared ? 2L * kernel.bands - 1 : kernel.bands);
            Arguments arguments = stream.arguments();
            TensorMap map = W4Functions.map(arguments, context, x, xType, m, weights.shape().k(), kernel.tokens);
            arguments.struct(weights.matrix()).struct(shapes[config]).struct(map).int64(y).int32(yType).int64(weights.bias())
                    .int32(weights.biasType()).int64(m);
            stream.launch(functions.of(xType), configs[config], tokenTiles * split, bandTiles, 1);
        }
    }
}
