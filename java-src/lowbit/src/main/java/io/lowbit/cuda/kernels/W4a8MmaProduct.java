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
    private static final int MOST_STAGES = 4;
    /** Shared memory of a block: 99 KiB, less what the kernel keeps of its own. */
    private static final int MOST_SHARED = (99 << 10) - 256;
    /** The most groups of a record that INT4 activations take. */
    private static final int S4_GROUPS = 2;

    /** All of them; {@code w4a8_mma.cuh} has the same list. */
    static final List<W4a8MmaProduct> ALL = all();

    private final Type type;
    private final MmaTile tile;

    private W4a8MmaProduct(Type type, MmaTile tile) {
        this.type = type;
        this.tile = tile;
    }

    private static List<W4a8MmaProduct> all() {
        List<W4a8MmaProduct> all = new ArrayList<>();
        for (Type type : Type.values()) {
            all.add(new W4a8MmaProduct(type, new MmaTile(8, 1, 4, 0.4)));
            all.add(new W4a8MmaProduct(type, new MmaTile(32, 1, 2, 0.6)));
            all.add(new W4a8MmaProduct(type, new MmaTile(128, 2, 1, type == Type.S4 ? 1.2 : 1.6)));
        }
        return List.copyOf(all);
    }

    @Override
    public String name() {
        return type.label + "_" + tile.tokens();
    }

    @Override
    public String file(Scheme scheme) {
        return type.label;
    }

    @Override
    public String description() {
        return "%d rows of x, %d rows of W, K cut over %d groups of warps and up to %d blocks, %s, cp.async, f32 sums scaled by group"
                .formatted(tile.tokens(), tile.rows(), tile.parts(), MmaTile.MOST_SPLIT, type.instruction);
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

    private int stageBytes(RecordLayout.Sizes sizes) {
        int x = tile.tokens() * RecordLayout.SPAN / (type == Type.S4 ? 2 : 1);
        return tile.parts() * (x + tile.bands() * sizes.recordBytes());
    }

    /** At least three fit: the longest records have 4864 bytes. */
    private int stages(RecordLayout.Sizes sizes) {
        return Math.min(MOST_STAGES, MOST_SHARED / stageBytes(sizes));
    }

    /** The stages, where the sums of the parts lie in the end. */
    private int shared(RecordLayout.Sizes sizes) {
        return Math.max(stages(sizes) * stageBytes(sizes), 4 * tile.parts() * tile.tokens() * (tile.rows() + 4));
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        RecordLayout.Sizes sizes = RecordLayout.Sizes.of(weights.shape());
        MemorySegment[] shapes = new MemorySegment[MmaTile.MOST_SPLIT + 1];
        for (int split = 1; split <= MmaTile.MOST_SPLIT; split++) {
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
            MmaTile tile = kernel.tile;
            int split = tile.split(sizes, m, processors);
            long workspace = split > 1 ? stream.workspace() : 0;
            long k = weights.shape().k();
            long n = weights.shape().n();
            int scaleRow = Fp8Activations.scaleRow(scaling);
            long most = tile.mostRows(sizes, split);
            for (long at = 0; at < m; at += most) {
                long rows = Math.min(most, m - at);
                stream.arguments().struct(weights.matrix()).struct(shapes[split]).int64(activations + at * Fp8Activations.pitch(k))
                        .int64(activations + Fp8Activations.scalesOffset(m, k) + 4 * at * scaleRow).int64(weights.bias())
                        .int64(y + ElementTypes.bytes(yType) * at * n).int32(weights.biasType()).int32(yType).int32((int) rows).int32(scaleRow)
                        .int64(workspace);
                stream.launch(function, config, tile.blocks(sizes, split, rows), 1, 1);
            }
        }
    }
}
