package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.MemorySegment;
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
        return "64 rows of W x 8 rows of x, K cut over 8 or 16 warps and up to 8 blocks, mma.sync m16n8k16, f32 sums scaled by group";
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return W4Functions.takes(scheme) ? kinds(scheme).stream().flatMap(kind -> W4Functions.names(KERNEL + kind).stream()).toList() : List.of();
    }

    /** The kernels that matrices of a scheme use: by zero points and the number of groups in a record, and for blocks of 16 warps. */
    private static List<String> kinds(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Int4 s -> s.symmetric() ? List.of("int4", "int4_many", "int4_g64", "int4_g64_many", "int4_g32", "int4_g32_many", "int4_fine")
                    : List.of("int4_zeros", "int4_zeros_many", "int4_g64_zeros", "int4_g32_zeros", "int4_fine_zeros");
            case Scheme.Bnb4 s -> s.doubleQuant() ? List.of("table_nested", "table_nested_many", "table_nested_any")
                    : List.of("table_f32", "table_f32_many", "table_f32_any");
            default -> List.of(scheme instanceof Scheme.Mxfp4 ? "mxfp4" : "nvfp4");
        };
    }

    private static String kind(Scheme scheme, RecordLayout.Sizes sizes, DecodePlan plan) {
        List<String> kinds = kinds(scheme);
        if (!(scheme instanceof Scheme.Int4 s)) {
            return !halves(sizes) ? kinds.getLast() : plan.manyWarps() ? kinds.get(1) : kinds.getFirst();
        }
        String groups = !known(sizes) ? "int4_fine" : sizes.groups() < 2 ? "int4" : sizes.groups() == 2 ? "int4_g64" : "int4_g32";
        return groups + (s.symmetric() ? "" : "_zeros") + (plan.manyWarps() ? "_many" : "");
    }

    /** A scale for each 64 columns, for which the kernels of codebooks are made. */
    private static boolean halves(RecordLayout.Sizes sizes) {
        return sizes.groups() == 2;
    }

    /** Blocks of 8 warps of a multiprocessor at once for which the kernel is compiled. */
    private static int blocks(Scheme scheme, RecordLayout.Sizes sizes) {
        return scheme instanceof Scheme.Int4 s && !s.symmetric() && !known(sizes) || sizes.scaleMode() == RecordLayout.SCALE_NESTED && !halves(sizes) ? 2 : 3;
    }

    /** Records of INT4 that a kernel knows: up to four groups, and scales of 16 bits. */
    private static boolean known(RecordLayout.Sizes sizes) {
        return sizes.groups() == 0 || sizes.groups() <= 4 && sizes.scaleMode() != RecordLayout.SCALE_F32;
    }

    /** Whether INT4 has a kernel for blocks of 16 warps. */
    private static boolean manyWarps(Scheme scheme, RecordLayout.Sizes sizes) {
        return scheme instanceof Scheme.Int4 s && known(sizes) && (s.symmetric() || sizes.groups() == 1);
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
        return scaling == null && (x == DType.BF16 || x == DType.F16) && RecordLayout.INSTANCE.fits(w);
    }

    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return !(scheme instanceof Scheme.Bnb4) ? 0 : x == DType.BF16 ? 0x1p-8 : 0x1p-11;
    }

    private static DecodePlan plan(Scheme scheme, RecordLayout.Sizes sizes, int processors) {
        if (scheme instanceof Scheme.Bnb4 && halves(sizes)) {
            return DecodePlan.ofTable(sizes, processors);
        }
        return DecodePlan.of(sizes, processors, blocks(scheme, sizes), manyWarps(scheme, sizes),
                plan -> shared(scheme, sizes, plan, ROWS));
    }

    private static long shared(Scheme scheme, RecordLayout.Sizes sizes, DecodePlan plan, int rows) {
        long rings = plan.ringBytes(sizes.recordBytes() + rows * (RecordLayout.SPAN + 8) * 2);
        long barriers = 16 + 8L * plan.warps() * plan.stages();
        long sums = 4L * (plan.split() - 1) * RecordLayout.BAND * rows;
        long table = scheme instanceof Scheme.Bnb4 ? W4Functions.TABLE_BYTES : 0;
        long map = sizes.scaleMode() == RecordLayout.SCALE_NESTED ? W4Functions.MAP_BYTES : 0;
        return table + map + rings + barriers + sums;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        MatrixShape w = weights.shape();
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(w);
        DecodePlan plan = plan(w.scheme(), sizes, kernels.context().device().multiprocessors());
        // For 1, 2 … rows of x. As for 8 where that leaves as many blocks room; beside a table it does not.
        LaunchConfig[] configs = new LaunchConfig[ROWS];
        for (int i = 0; i < ROWS; i++) {
            configs[i] = plan.config(shared(w.scheme(), sizes, plan, w.scheme() instanceof Scheme.Bnb4 && halves(sizes) ? i + 1 : ROWS));
        }
        return new Prepared(weights, W4Functions.load(kernels, FILE, KERNEL + kind(w.scheme(), sizes, plan), W4Functions.MOST_SHARED),
                plan.shape(weights.arena(), false), plan.shape(weights.arena(), true), configs, plan.blocks());
    }

    private record Prepared(LayerWeights weights, W4Functions functions, MemorySegment few, MemorySegment several, LaunchConfig[] configs, long blocks)
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
                stream.arguments().struct(weights.matrix()).struct(m <= DecodePlan.AT_ONCE ? few : several).int64(x + 2 * at * k).int64(y + ElementTypes.bytes(yType) * at * n).int32(yType)
                        .int64(weights.bias()).int32(weights.biasType()).int64(m - at);
                stream.launch(functions.of(xType), configs[(int) Math.min(m, ROWS) - 1], blocks,
                        Math.min(MOST_BLOCKS_Y, tiles - first), 1);
            }
        }
    }
}
