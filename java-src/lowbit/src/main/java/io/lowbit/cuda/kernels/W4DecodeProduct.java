package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * 4-bit weights in records with BF16 or F16 activations, for a few rows: {@code w4_decode.cu}. Each warp streams records of
 * its own through a ring in shared memory; a cluster of blocks shares a band of 64 rows of W and cuts K.
 *
 * <p>INT4, MXFP4 and NVFP4 round no operand. The values of NF4 and FP4 are rounded to the type of x.
 */
final class W4DecodeProduct implements ProductKernel {
    static final W4DecodeProduct INSTANCE = new W4DecodeProduct();

    private static final String FILE = "w4_decode";
    private static final String KERNEL = "w4decode8_";
    /** Rows of y that a block makes. */
    private static final int ROWS = 8;
    private static final int WARPS = 4;
    private static final int MOST_SPLIT = 8;
    /** Multiprocessors of the GPUs that this was measured on; not many more or less on the others. */
    private static final int PROCESSORS = 132;
    /** Records along K for a block of INT4 where there are blocks enough: four for each warp. */
    private static final int SPANS = 16;
    /** Blocks enough: more than two for each multiprocessor. */
    private static final int ENOUGH = 300;
    private static final long MOST_BLOCKS_Y = 65535;

    private W4DecodeProduct() {}

    @Override
    public String name() {
        return "w4-decode";
    }

    @Override
    public String file(Scheme scheme) {
        return FILE;
    }

    @Override
    public String description() {
        return "64 rows of W x 8 rows of x, K cut over 4 warps and up to 8 blocks, mma.sync m16n8k16, f32 sums scaled by group";
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return W4Functions.takes(scheme) ? kinds(scheme).stream().flatMap(kind -> W4Functions.names(KERNEL + kind).stream()).toList() : List.of();
    }

    /** The kernels that matrices of a scheme use: for INT4, by the number of groups in a record. */
    private static List<String> kinds(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Int4 _ -> List.of("int4", "int4_fine");
            case Scheme.Bnb4 s -> List.of(s.doubleQuant() ? "table_nested" : "table_f32");
            default -> List.of(scheme instanceof Scheme.Mxfp4 ? "mxfp4" : "nvfp4");
        };
    }

    private static String kind(Scheme scheme, RecordLayout.Sizes sizes) {
        List<String> kinds = kinds(scheme);
        boolean coarse = sizes.groups() == 0 || sizes.groups() == 1 && sizes.scaleMode() != RecordLayout.SCALE_F32;
        return coarse ? kinds.getFirst() : kinds.getLast();
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
        return scaling == null && (x == DType.BF16 || x == DType.F16) && RecordLayout.INSTANCE.fits(w) && shared(w, ROWS) <= W4Functions.MOST_SHARED;
    }

    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return !(scheme instanceof Scheme.Bnb4) ? 0 : x == DType.BF16 ? 0x1p-8 : 0x1p-11;
    }

    /**
     * Blocks of a cluster. Without a table: until a warp has four records and there are blocks enough. NF4 and FP4, where each block fills a
     * table first: until each multiprocessor has two blocks and the block's part of x fits into its shared memory.
     */
    private static int split(Scheme scheme, RecordLayout.Sizes sizes) {
        int split = 1;
        while (split < MOST_SPLIT && sizes.spans() >= 2L * split * WARPS) {
            long blocks = sizes.bands() * split;
            if (!(scheme instanceof Scheme.Bnb4) ? sizes.spans() <= (long) split * SPANS && blocks >= ENOUGH
                    : blocks >= 2 * PROCESSORS - 8 && shared(scheme, sizes, split, ROWS) <= W4Functions.MOST_SHARED) {
                break;
            }
            split *= 2;
        }
        return split;
    }

    /** Records of a ring: deep where there are few blocks. */
    private static int stages(Scheme scheme, RecordLayout.Sizes sizes) {
        return stages(scheme, sizes, split(scheme, sizes));
    }

    private static int stages(Scheme scheme, RecordLayout.Sizes sizes, int split) {
        long blocks = sizes.bands() * split;
        return scheme instanceof Scheme.Bnb4 || blocks > 3 * PROCESSORS ? 2 : blocks > PROCESSORS ? 3 : 4;
    }

    private static int spansOfBlock(RecordLayout.Sizes sizes, int split) {
        return Math.toIntExact(Math.ceilDiv(sizes.spans(), (long) split));
    }

    private static long shared(MatrixShape w, int rows) {
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(w);
        return shared(w.scheme(), sizes, split(w.scheme(), sizes), rows);
    }

    private static long shared(Scheme scheme, RecordLayout.Sizes sizes, int split, int rows) {
        long pitch = (spansOfBlock(sizes, split) * (long) RecordLayout.SPAN + 8) * 2;
        int stages = stages(scheme, sizes, split);
        long rings = (long) WARPS * stages * sizes.recordBytes();
        long x = Math.ceilDiv(rows * pitch, 16L) * 16;
        long barriers = 16 + 8L * WARPS * stages;
        long sums = 4L * (split - 1) * RecordLayout.BAND * rows;
        long table = scheme instanceof Scheme.Bnb4 ? W4Functions.TABLE_BYTES : 0;
        long map = sizes.scaleMode() == RecordLayout.SCALE_NESTED ? W4Functions.MAP_BYTES : 0;
        return table + map + rings + x + barriers + sums;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        MatrixShape w = weights.shape();
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(w);
        String kind = kind(w.scheme(), sizes);
        int split = split(w.scheme(), sizes);
        MemorySegment shape = weights.arena().allocate(16, 4);
        shape.setAtIndex(ValueLayout.JAVA_INT, 0, 1);
        shape.setAtIndex(ValueLayout.JAVA_INT, 1, split);
        shape.setAtIndex(ValueLayout.JAVA_INT, 2, stages(w.scheme(), sizes));
        shape.setAtIndex(ValueLayout.JAVA_INT, 3, spansOfBlock(sizes, split));
        LaunchConfig[] configs = new LaunchConfig[ROWS];
        for (int i = 0; i < ROWS; i++) {
            configs[i] = LaunchConfig.of(32 * WARPS).withCluster(split, 1, 1).withShared(Math.toIntExact(shared(w, i + 1))).withOverlap();
        }
        return new Prepared(weights, W4Functions.load(kernels, FILE, KERNEL + kind, W4Functions.MOST_SHARED), shape, configs, sizes.bands() * split);
    }

    private record Prepared(LayerWeights weights, W4Functions functions, MemorySegment shape, LaunchConfig[] configs, long blocks)
            implements Product {
        @Override
        public ProductKernel kernel() {
            return INSTANCE;
        }

        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            long tiles = Math.ceilDiv(m, (long) ROWS);
            for (long first = 0; first < tiles; first += MOST_BLOCKS_Y) {
                // Rows from first · ROWS on; nearly always all of them.
                long at = first * ROWS;
                long k = weights.shape().k();
                long n = weights.shape().n();
                stream.arguments().struct(weights.matrix()).struct(shape).int64(x + 2 * at * k).int64(y + ElementTypes.bytes(yType) * at * n).int32(yType)
                        .int64(weights.bias()).int32(weights.biasType()).int64(m - at);
                stream.launch(functions.of(xType), configs[(int) Math.min(m, ROWS) - 1], blocks,
                        Math.min(MOST_BLOCKS_Y, tiles - first), 1);
            }
        }
    }
}
