package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * INT4 weights in records times E4M3, INT8 or INT4 activations on Ada's tensor cores: {@code w4a8_mma.cuh}. Weights become the
 * activations' type in registers, exactly; INT4 takes them as they are, so without zero points, and 64 columns at a time, so in groups
 * of no fewer. The sums of a group, or of 128 along K, are scaled and added in f32.
 */
final class W4a8MmaProduct implements ProductKernel {
    /** The activations' type. */
    private enum Type {
        E4M3("w4a8_mma_e4m3", "mma.sync m16n8k32 e4m3", Accumulation.PRECISE, 0x1p-11),
        S8("w4a8_mma_s8", "mma.sync m16n8k32 s8", Accumulation.EXACT, 0),
        S4("w4a4_mma", "mma.sync m16n8k64 s4", Accumulation.EXACT, 0);

        private final String label;
        private final String instruction;
        private final Accumulation accumulation;
        private final double rounding;

        Type(String label, String instruction, Accumulation accumulation, double rounding) {
            this.label = label;
            this.instruction = instruction;
            this.accumulation = accumulation;
            this.rounding = rounding;
        }
    }

    private static final int WARPS = 8;
    private static final int MOST_SPLIT = 8;
    private static final int MOST_STAGES = 4;
    /** Shared memory of a block: 99 KiB, less what the kernel keeps of its own. */
    private static final int MOST_SHARED = (99 << 10) - 256;
    private static final long MOST_BLOCKS = Integer.MAX_VALUE;
    /** The most groups of a record that INT4 activations take. */
    private static final int S4_GROUPS = 2;

    /** µs that a block takes besides its stages, and what adding the sums of several takes. */
    private static final double START = 2;
    private static final double ADDING = 1.5;
    /** Bytes that the memory gives to each multiprocessor in a µs: 1.0 TB/s for 128, 0.86 TB/s for 142. */
    private static final double BYTES = 7000;

    /** All of them; {@code w4a8_mma.cuh} has the same list. */
    static final List<W4a8MmaProduct> ALL = all();

    private final Type type;
    private final int tokens;
    private final int bands;
    private final int parts;
    private final double stage;

    private W4a8MmaProduct(Type type, int tokens, int bands, int parts, double stage) {
        this.type = type;
        this.tokens = tokens;
        this.bands = bands;
        this.parts = parts;
        this.stage = stage;
    }

    /** By rows of x of a block, bands of 64 rows of W, parts of K, µs of a stage: argued in {@code NOTES-w4a8.md}, not measured. */
    private static List<W4a8MmaProduct> all() {
        List<W4a8MmaProduct> all = new ArrayList<>();
        for (Type type : Type.values()) {
            all.add(new W4a8MmaProduct(type, 8, 1, 4, 0.4));
            all.add(new W4a8MmaProduct(type, 32, 1, 2, 0.6));
            all.add(new W4a8MmaProduct(type, 128, 2, 1, type == Type.S4 ? 1.2 : 1.6));
        }
        return List.copyOf(all);
    }

    @Override
    public String name() {
        return type.label + "_" + tokens;
    }

    @Override
    public String file(Scheme scheme) {
        return type.label;
    }

    @Override
    public String description() {
        return "%d rows of x, %d rows of W, K cut over %d groups of warps and up to %d blocks, %s, cp.async, f32 sums scaled by group"
                .formatted(tokens, rows(), parts, MOST_SPLIT, type.instruction);
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return scheme instanceof Scheme.Int4 ? List.of(name()) : List.of();
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
    public Accumulation accumulation() {
        return type.accumulation;
    }

    @Override
    public boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling) {
        if (type == Type.S4) {
            return scaling == ActivationScaling.ROW_INT4 && W4a8Kernel.takes(w) && ((Scheme.Int4) w.scheme()).symmetric()
                    && RecordLayout.Sizes.of(w).groups() <= S4_GROUPS;
        }
        return W4a8Kernel.takes(w, scaling) && scaling.fp8() == (type == Type.E4M3);
    }

    /** {@inheritDoc} E4M3: what is lost where the tensor core's sums keep fewer bits than f32; no bound, see {@link Accumulation}. */
    @Override
    public double operandRounding(Scheme scheme, DType x) {
        return type.rounding;
    }

    private int rows() {
        return bands * RecordLayout.BAND;
    }

    private int stageBytes(RecordLayout.Sizes sizes) {
        int x = tokens * RecordLayout.SPAN / (type == Type.S4 ? 2 : 1);
        return parts * (x + bands * sizes.recordBytes());
    }

    /** At least three fit: the longest records have 4864 bytes. */
    private int stages(RecordLayout.Sizes sizes) {
        return Math.min(MOST_STAGES, MOST_SHARED / stageBytes(sizes));
    }

    /** The stages, where the sums of the parts lie in the end. */
    private int shared(RecordLayout.Sizes sizes) {
        return Math.max(stages(sizes) * stageBytes(sizes), 4 * parts * tokens * (rows() + 4));
    }

    private long columns(RecordLayout.Sizes sizes) {
        return Math.ceilDiv(sizes.bands(), (long) bands);
    }

    /** Blocks that cut K: the number with which the product takes least time, as far as this simple reckoning goes. */
    private int split(RecordLayout.Sizes sizes, long m, int processors) {
        long tiles = columns(sizes) * Math.ceilDiv(m, (long) tokens);
        int best = 1;
        if (tiles > Stream.COUNTER_BYTES / 4) {
            return best;
        }
        long room = (Stream.WORKSPACE_BYTES - Stream.COUNTER_BYTES) / (4L * tokens * rows());
        for (int split = 2; split <= MOST_SPLIT && sizes.spans() >= (long) split * parts && tiles * split <= room; split++) {
            if (micros(sizes, tiles, split, processors) < micros(sizes, tiles, best, processors)) {
                best = split;
            }
        }
        return best;
    }

    /** The memory bounds it, or the blocks' stages in rounds of one block a multiprocessor. */
    private double micros(RecordLayout.Sizes sizes, long tiles, int split, int processors) {
        double memory = sizes.recordsEnd() / (BYTES * processors);
        long depth = Math.ceilDiv(Math.ceilDiv(sizes.spans(), (long) split), (long) parts);
        return Math.max(memory, Math.ceilDiv(tiles * split, (long) processors) * (depth * stage + START)) + (split > 1 ? ADDING : 0);
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(weights.shape());
        MemorySegment[] shapes = new MemorySegment[MOST_SPLIT + 1];
        for (int split = 1; split <= MOST_SPLIT; split++) {
            shapes[split] = weights.arena().allocate(16, 4);
            shapes[split].setAtIndex(ValueLayout.JAVA_INT, 0, split);
            shapes[split].setAtIndex(ValueLayout.JAVA_INT, 1, stages(sizes));
            shapes[split].setAtIndex(ValueLayout.JAVA_INT, 2, Math.toIntExact(Math.ceilDiv(sizes.spans(), (long) split)));
            shapes[split].setAtIndex(ValueLayout.JAVA_INT, 3, Math.toIntExact(Fp8Activations.pitch(weights.shape().k())));
        }
        Function function = kernels.function(file(weights.shape().scheme()), name()).allowShared(MOST_SHARED);
        LaunchConfig config = LaunchConfig.of(32 * WARPS).withShared(shared(sizes));
        return new Prepared(this, weights, scaling, sizes, function, shapes, config, kernels.context().device().multiprocessors());
    }

    private record Prepared(W4a8MmaProduct kernel, LayerWeights weights, ActivationScaling scaling, RecordLayout.Sizes sizes, Function function,
            MemorySegment[] shapes, LaunchConfig config, int processors) implements Product {
        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            int tokens = kernel.tokens;
            int split = kernel.split(sizes, m, processors);
            long workspace = split > 1 ? stream.workspace() : 0;
            long k = weights.shape().k();
            long n = weights.shape().n();
            int scaleRow = Fp8Activations.scaleRow(scaling);
            // As many rows as a grid has blocks for; nearly always all of them.
            long most = MOST_BLOCKS / (kernel.columns(sizes) * split) * tokens;
            for (long at = 0; at < m; at += most) {
                long rows = Math.min(most, m - at);
                stream.arguments().struct(weights.matrix()).struct(shapes[split]).int64(activations + at * Fp8Activations.pitch(k))
                        .int64(activations + Fp8Activations.scalesOffset(m, k) + 4 * at * scaleRow).int64(weights.bias())
                        .int64(y + ElementTypes.bytes(yType) * at * n).int32(weights.biasType()).int32(yType).int32((int) rows).int32(scaleRow)
                        .int64(workspace);
                stream.launch(function, config, kernel.columns(sizes) * split * Math.ceilDiv(rows, (long) tokens), 1, 1);
            }
        }
    }
}
