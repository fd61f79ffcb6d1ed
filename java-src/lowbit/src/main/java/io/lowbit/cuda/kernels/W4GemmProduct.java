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
 * 4-bit weights in records with BF16 or F16 activations on Hopper's warp groups, for many rows: {@code w4_gemm.cuh}. As many
 * blocks as the GPU has multiprocessors take tile after tile, or share the K of the last ones ({@link StreamK}); W goes
 * through registers, x through the tensor memory accelerator, where a cluster of two blocks shares it.
 *
 * <p>Weights are scaled before they are multiplied: the product of code and scale is rounded to the type of x, with BF16 the
 * scale before that, with NF4 and FP4 the value too; NVFP4, and MXFP4 with BF16, lose nothing by it. Scales of INT4 in BF16 are to be
 * below 2^17.
 *
 * <p>Where x does not begin at a multiple of 16 bytes, {@link W4DecodeProduct} computes the product instead.
 */
final class W4GemmProduct implements ProductKernel {
    /**
     * By rows of x and bands of 64 rows of W of a tile, blocks of a cluster, units of 64 columns of x that wait; whether tiles
     * are cut as finely as it goes, for tests.
     */
    static final List<W4GemmProduct> ALL = List.of(new W4GemmProduct(128, 2, 2, 6, false), new W4GemmProduct(128, 3, 1, 6, false),
            new W4GemmProduct(256, 2, 2, 4, false), new W4GemmProduct(256, 2, 2, 4, true));

    /** The kind of kernel for INT4 of every kind. */
    private static final String ANY = "int4_fine";
    private static final int WARP_GROUP = 128;
    private static final int MOST_STAGES = 8;
    /** Tokens whose sums pass through shared memory together, and floats of one with its padding. */
    private static final int CHUNK = 64;
    private static final int PITCH = RecordLayout.BAND + 4;
    /** Spans of K in the time in which a tile's sums are given away, fetched or stored. */
    private static final double SEAM = 2.7;
    /** Roundings of a scaled weight in BF16: of the product and of the scale; of the value of NF4 and FP4 too. */
    private static final double TWO_ROUNDINGS = 0x1.01p-8;
    private static final double THREE_ROUNDINGS = 0x1.82p-8;
    private static final double F16_ROUNDINGS = 0x1.01p-11;

    private final int tokens;
    private final int bands;
    private final int cluster;
    private final int units;
    private final boolean cut;

    private W4GemmProduct(int tokens, int bands, int cluster, int units, boolean cut) {
        this.tokens = tokens;
        this.bands = bands;
        this.cluster = cluster;
        this.units = units;
        this.cut = cut;
    }

    @Override
    public String name() {
        return "w4-gemm-" + tokens + "x" + bands * RecordLayout.BAND + (cut ? "-cut" : "");
    }

    @Override
    public String file(Scheme scheme) {
        return takes(scheme) ? file(kind(scheme)) : "w4_gemm_int4";
    }

    private static String file(String kind) {
        return "w4_gemm_" + switch (kind) {
            case "int4_g64_zeros" -> "int4_g64";
            case "int4_g32_zeros" -> "int4_g32";
            default -> kind.startsWith("int4") ? kind : "table";
        };
    }

    @Override
    public String description() {
        return tokens + " rows of x, " + bands * RecordLayout.BAND + " rows of W, K step 128, wgmma m64n" + tokens
                + "k16 with W from registers, clusters of " + cluster + ", scaled weights rounded, "
                + (cut ? "tiles cut as finely as it goes" : "tiles cut where it pays");
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return takes(scheme) ? W4Functions.names(kernel(kind(scheme))) : List.of();
    }

    /** Which kernels there are. */
    private boolean takes(Scheme scheme) {
        return scheme instanceof Scheme.Int4 && (tokens == 256 || bands == 3 || kind(scheme).equals("int4"))
                || tokens == 256 && !(scheme instanceof Scheme.Int4) && W4Functions.takes(scheme);
    }

    private static String kind(Scheme scheme) {
        String kind = W4FewProduct.kind(scheme);
        return kind.equals("int4_any") ? ANY : kind;
    }

    /** The kind for a matrix: the general one where all of K is less than a group, for which its scheme's is not made. */
    private static String kind(MatrixShape w) {
        return !(w.scheme() instanceof Scheme.Int4) || W4FewProduct.asItsKind(w) ? kind(w.scheme()) : ANY;
    }

    private String kernel(String kind) {
        return "w4gemm" + tokens + "x" + bands + "_" + kind;
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
        return scaling == null && takes(w.scheme()) && w.k() % 8 == 0 && W4DecodeProduct.INSTANCE.supports(w, x, y, null)
                && (!kind(w).equals("int4") || scalesInTypeOf(x, w));
    }

    /**
     * True where the kernels for plain INT4 may round its scales to the type of x: F16 has too few exponents for scales of
     * another type.
     */
    static boolean scalesInTypeOf(DType x, MatrixShape w) {
        return x == DType.BF16 || RecordLayout.Sizes.of(w).groups() == 0 || ((Scheme.Int4) w.scheme()).scaleType() == DType.F16;
    }

    @Override
    public double operandRounding(Scheme scheme, DType x) {
        boolean exact = scheme instanceof Scheme.Nvfp4 || scheme instanceof Scheme.Mxfp4 && x == DType.BF16;
        return exact ? 0 : rounding(scheme, x);
    }

    /** Of weights that are scaled before they are multiplied. */
    static double rounding(Scheme scheme, DType x) {
        return x == DType.F16 ? F16_ROUNDINGS : scheme instanceof Scheme.Bnb4 ? THREE_ROUNDINGS : TWO_ROUNDINGS;
    }

    private int stageBytes(RecordLayout.Sizes sizes) {
        return bands * sizes.placeBytes();
    }

    /** Shared memory besides the ring of W. */
    private int besides(MatrixShape w) {
        int table = w.scheme() instanceof Scheme.Bnb4 ? W4Functions.TABLE_BYTES : 0;
        int map = w.scheme() instanceof Scheme.Bnb4 && !kind(w.scheme()).equals("table_f32") ? W4Functions.MAP_BYTES : 0;
        return units * tokens * W4Functions.BOX_COLUMNS * 2 + bands * CHUNK * PITCH * 4 + table + map + (units + MOST_STAGES) * 16;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        MatrixShape w = weights.shape();
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(w);
        int stages = Math.min(MOST_STAGES, (W4Functions.MOST_SHARED - besides(w)) / stageBytes(sizes));
        LaunchConfig config = LaunchConfig.of((bands + 1) * WARP_GROUP).withCluster(cluster, 1, 1)
                .withShared(stages * stageBytes(sizes) + besides(w)).withOverlap();
        MemorySegment shape = weights.arena().allocate(8, 4);
        shape.setAtIndex(ValueLayout.JAVA_INT, 0, units);
        shape.setAtIndex(ValueLayout.JAVA_INT, 1, stages);
        int clusters = kernels.context().device().multiprocessors() / cluster;
        int rows = bands * cluster;
        // What always cuts is there for tests, and waits for nobody if it may leave the rest to others.
        StreamK.Cost cost = new StreamK.Cost(cut ? 0 : SEAM, 4L * tokens * RecordLayout.BAND * rows, rows);
        return new Prepared(this, kernels.context(), weights, sizes,
                W4Functions.load(kernels, file(kind(w)), kernel(kind(w)), W4Functions.MOST_SHARED), shape, config, clusters, cost,
                W4DecodeProduct.INSTANCE.prepare(kernels, weights, null));
    }

    private record Prepared(W4GemmProduct kernel, Context context, LayerWeights weights, RecordLayout.Sizes sizes, W4Functions functions,
            MemorySegment shape, LaunchConfig config, int clusters, StreamK.Cost cost, Product unaligned) implements Product {
        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            if (x % 16 != 0) {
                unaligned.enqueue(stream, m, x, xType, y, yType, activations);
                return;
            }
            int cluster = kernel.cluster;
            Arguments arguments = stream.arguments();
            TensorMap map = W4Functions.map(arguments, context, x, xType, m, weights.shape().k(), kernel.tokens / cluster);
            long tiles = Math.ceilDiv(m, (long) kernel.tokens) * Math.ceilDiv(sizes.bands(), (long) kernel.bands * cluster);
            StreamK way = StreamK.choose(tiles, Math.toIntExact(sizes.spans()), clusters, cost);
            long workspace = way.whole() < tiles ? stream.workspace() : 0;
            arguments.struct(weights.matrix()).struct(shape).struct(map).int64(y).int32(yType).int64(weights.bias())
                    .int32(weights.biasType()).int64(m).int32((int) way.whole()).int32(kernel.cut ? 0 : StreamK.PATIENCE).int64(workspace);
            stream.launch(functions.of(xType), config, (long) way.workers() * cluster, 1, 1);
        }
    }
}
