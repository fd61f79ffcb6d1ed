package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * INT4 weights in records times E4M3 or INT8 activations on Hopper, 8 rows of x at a time: {@code w4a8_decode.cu}. Both count
 * exactly, as f16, and are summed in f32, so this is the kernel that serves where {@link Accumulation#EXACT} is asked for.
 */
final class W4a8DecodeProduct implements ProductKernel {
    static final W4a8DecodeProduct INSTANCE = new W4a8DecodeProduct();

    private static final String FILE = "w4a8_decode";
    private static final List<String> KERNELS = List.of("w4a8_decode_e4m3", "w4a8_decode_s8");
    private static final int ROWS = 8;
    private static final long MOST_BLOCKS_Y = 65535;

    private W4a8DecodeProduct() {}

    @Override
    public String name() {
        return "w4a8_decode";
    }

    @Override
    public String file(Scheme scheme) {
        return FILE;
    }

    @Override
    public String description() {
        return "8 rows of x, 64 rows of W, rings of records for each warp, K split among up to 8 blocks, mma.sync f16, exact";
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return scheme instanceof Scheme.Int4 s ? KERNELS.stream().flatMap(kernel -> kinds(s).stream().map(kernel::concat)).toList() : List.of();
    }

    private static String kernel(ActivationScaling scaling) {
        return KERNELS.get(scaling.fp8() ? 0 : 1);
    }

    /** What the names of the kernels that matrices of a scheme use end in: the first of them, or the last for blocks of 16 warps. */
    private static List<String> kinds(Scheme.Int4 scheme) {
        if (fine(scheme)) {
            return List.of(scheme.symmetric() ? "_fine" : "_fine_zeros");
        }
        return scheme.symmetric() ? List.of("", "_many") : List.of("_zeros");
    }

    /** True for groups of 32 or 64 columns. */
    private static boolean fine(Scheme.Int4 scheme) {
        return scheme.grouping() instanceof Grouping.PerGroup g && g.size() < RecordLayout.SPAN;
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
        return W4a8Kernel.takes(w, scaling);
    }

    private static long shared(RecordLayout.Sizes sizes, DecodePlan plan) {
        long rings = plan.ringBytes(sizes.recordBytes() + ROWS * (RecordLayout.SPAN + 16));
        return rings + 16 + 8L * plan.warps() * plan.stages() + 4 * ROWS + 4L * (plan.split() - 1) * RecordLayout.BAND * ROWS;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(weights.shape());
        List<String> kinds = kinds((Scheme.Int4) weights.shape().scheme());
        // For finer groups the kernel is compiled for two blocks a multiprocessor.
        DecodePlan plan = DecodePlan.of(sizes, kernels.context().device().multiprocessors(), sizes.groups() > 1 ? 2 : 3, kinds.size() > 1, p -> shared(sizes, p));
        String entry = kernel(scaling) + (plan.manyWarps() ? kinds.getLast() : kinds.getFirst());
        int pitch = Math.toIntExact(Fp8Activations.pitch(weights.shape().k()));
        return new Prepared(weights, scaling, kernels.function(FILE, entry).allowShared(W4Functions.MOST_SHARED),
                plan.shape(weights.arena(), false, pitch), plan.shape(weights.arena(), true, pitch), plan.config(shared(sizes, plan)),
                plan.blocks());
    }

    private record Prepared(LayerWeights weights, ActivationScaling scaling, Function function, MemorySegment few, MemorySegment several,
            LaunchConfig config, long blocks) implements Product {
        @Override
        public ProductKernel kernel() {
            return INSTANCE;
        }

        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            long k = weights.shape().k();
            long n = weights.shape().n();
            int scaleRow = Fp8Activations.scaleRow(scaling);
            long tiles = Math.ceilDiv(m, (long) ROWS);
            for (long first = 0; first < tiles; first += MOST_BLOCKS_Y) {
                // Rows from first · ROWS on; nearly always all of them.
                long at = first * ROWS;
                stream.arguments().struct(weights.matrix()).struct(m <= DecodePlan.AT_ONCE ? few : several).int64(activations + at * Fp8Activations.pitch(k))
                        .int64(activations + Fp8Activations.scalesOffset(m, k) + 4 * at * scaleRow).int32(scaleRow)
                        .int64(y + ElementTypes.bytes(yType) * at * n).int32(yType).int64(weights.bias())
                        .int32(weights.biasType()).int32((int) (m - at));
                stream.launch(function, config, blocks, Math.min(MOST_BLOCKS_Y, tiles - first), 1);
            }
        }
    }
}
