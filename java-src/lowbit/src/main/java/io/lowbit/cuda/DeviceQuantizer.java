package io.lowbit.cuda;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.cuda.kernels.MatrixArgument;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.format.BnbFp4;
import io.lowbit.format.Float8;
import io.lowbit.format.Nf4;
import io.lowbit.format.Overflow;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.NonFinite;
import io.lowbit.quant.NonFiniteWeightsException;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.ZeroBlock;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Quantizes one matrix on the device: the kernels of {@code quantize.cu} in the order of the CPU's quantizers, with the
 * same bits. Runs on one lane's stream and returns when the result is there.
 */
final class DeviceQuantizer {
    private static final String FILE = "quantize";
    private static final int THREADS = 256;
    private static final int WARP = 32;
    /** Blocks of a launch at most; kernels step over the rest. */
    private static final long MOST_BLOCKS = 4096;
    private static final long SOURCE_BYTES = 32;
    // The first words of scratch memory: range of the matrix, non-finite weights, first group that overflows, a scale or mean.
    private static final long RANGE = 0;
    private static final long COUNT = 8;
    private static final long FIRST = 16;
    private static final long OVERFLOW = 24;
    private static final long SCALE = 32;
    private static final long WORDS = 40;
    private static final long ALL_ONES = -1;

    private final CudaBackend backend;
    private final Stream stream;
    private final DeviceTensor weights;
    private final QuantizeOptions options;
    private final long n;
    private final long k;
    private final MemorySegment source;
    private final MemorySegment matrix;
    /** Where {@link #words} arrive. */
    private final MemorySegment words;
    private final long scratch;

    private DeviceQuantizer(CudaBackend backend, Stream stream, DeviceTensor weights, QuantizeOptions options, long scratch, Arena arena) {
        this.backend = backend;
        this.stream = stream;
        this.weights = weights;
        this.options = options;
        this.n = weights.shape().dim(0);
        this.k = weights.shape().dim(1);
        this.scratch = scratch;
        this.source = arena.allocate(SOURCE_BYTES, 8);
        this.matrix = arena.allocate(MatrixArgument.BYTES, 8);
        this.words = arena.allocate(WORDS, 8);
        source.set(ValueLayout.JAVA_LONG, 0, weights.address());
        source.set(ValueLayout.JAVA_INT, 8, ElementTypes.of(weights.dtype()));
        source.set(ValueLayout.JAVA_INT, 12, options.nonFinite() == NonFinite.ZERO ? 1 : 0);
        source.set(ValueLayout.JAVA_LONG, 16, n);
        source.set(ValueLayout.JAVA_LONG, 24, k);
    }

    static DeviceMatrix quantize(CudaBackend backend, DeviceTensor weights, Scheme scheme, QuantizeOptions options) {
        check(weights, scheme, options);
        long n = weights.shape().dim(0);
        long k = weights.shape().dim(1);
        Math.multiplyExact(n, k);
        MatrixShape shape = MatrixShape.plain(scheme, n, k);
        DeviceMemory result = backend.context().allocate(CanonicalLayout.INSTANCE.bytes(shape));
        boolean done = false;
        Lane lane = backend.lanes().take();
        try (Arena arena = Arena.ofShared(); DeviceMemory scratch = DeviceMemory.allocate(lane.stream(), WORDS)) {
            Stream stream = lane.stream();
            if (result.bytes() > 0) {
                stream.fill(result.address(), (byte) 0, result.bytes());
            }
            DeviceQuantizer quantizer = new DeviceQuantizer(backend, stream, weights, options, scratch.address(), arena);
            MatrixShape made = quantizer.run(shape, result.bytes() == 0 ? 0 : result.address());
            stream.synchronize();
            DeviceMatrix matrix = backend.add(() -> new DeviceMatrix(backend, made, result));
            done = true;
            return matrix;
        } finally {
            backend.lanes().give(lane);
            if (!done) {
                result.close();
            }
        }
    }

    private static void check(DeviceTensor weights, Scheme scheme, QuantizeOptions options) {
        if (weights.shape().rank() != 2) {
            throw new IllegalArgumentException("expected a weight matrix [N, K], got shape " + weights.shape());
        }
        if (weights.shape().dim(0) > Integer.MAX_VALUE || weights.shape().dim(1) > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("weights " + weights.shape() + ": expected at most 2^31-1 rows and columns");
        }
        if (options.clip() != null) {
            throw new IllegalArgumentException("the clip search runs on the CPU only; use Quantizer.quantize, or leave it out");
        }
        if (options.nonFinite() == NonFinite.PROPAGATE && !scheme.hasNan()) {
            throw new IllegalArgumentException(scheme.label() + " has no NaN to propagate; use NonFinite.REJECT or NonFinite.ZERO");
        }
        if (scheme instanceof Scheme.Int8 || scheme instanceof Scheme.Ggml) {
            throw new IllegalArgumentException("Lowbit reads " + scheme.label() + " and does not quantize to it");
        }
    }

    /** @return the shape, with what was computed for the whole matrix */
    private MatrixShape run(MatrixShape shape, long out) {
        scan();
        CanonicalLayout.Parts parts = CanonicalLayout.Parts.of(shape);
        CanonicalLayout.INSTANCE.describe(shape, out, matrix);
        long codes = out + parts.offset(0);
        long scales = out + parts.offset(1);
        switch (shape.scheme()) {
            case Scheme.Dense s -> {
                stream.arguments().struct(source).int64(codes).int32(ElementTypes.of(s.dtype())).int32(saturate() ? 1 : 0);
                launch("dense", n * k);
            }
            case Scheme.Int4 s -> int4(s, codes, scales, s.symmetric() ? 0 : out + parts.offset(2));
            case Scheme.Fp8 s -> fp8(s, codes, scales);
            case Scheme.Bnb4 s -> {
                if (!s.doubleQuant()) {
                    bnb4(s, codes, scales);
                    return shape;
                }
                long blocks = Math.ceilDiv(n * k, (long) s.blockSize());
                try (DeviceMemory absmax = DeviceMemory.allocate(stream, 4 * blocks)) {
                    long at = blocks == 0 ? 0 : absmax.address();
                    bnb4(s, codes, at);
                    stream.arguments().int64(at).int64(blocks).int64(scratch + SCALE);
                    stream.launch(function("bnb4_mean"), 1, 1, THREADS, 0);
                    stream.arguments().int64(at).int64(blocks).int64(scratch + SCALE).int64(out + parts.offset(3)).int64(out + parts.offset(4))
                            .int64(out + parts.offset(5));
                    launch("bnb4_nest", WARP * Math.ceilDiv(blocks, 256L));
                }
                fetch();
                return new MatrixShape(s, n, k, words.get(ValueLayout.JAVA_FLOAT, SCALE), 1, false, MatrixShape.Columns.NEIGHBOURS);
            }
            case Scheme.Mxfp4 _ -> {
                long blocks = Math.ceilDiv(k, (long) Scheme.Mxfp4.BLOCK);
                stream.arguments().struct(source).int64(blocks).int32(options.mxScaleRule().ordinal()).int64(codes).int64(scales);
                launch("mxfp4", WARP * n * blocks);
            }
            case Scheme.Mxfp8 s -> {
                long blocks = Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK);
                boolean e4m3 = s.format() == Scheme.Fp8Format.E4M3;
                stream.arguments().struct(source).int64(blocks).int32(options.mxScaleRule().ordinal()).int32(e4m3 ? 1 : 0)
                        .int32(s.format().float8().overflowCode(options.overflow())).int64(codes).int64(scales);
                launch("mxfp8", WARP * n * blocks);
            }
            case Scheme.Nvfp4 s -> {
                long blocks = Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK);
                stream.arguments().struct(source).int64(scratch + RANGE).int64(blocks).int64(codes).int64(scales).int64(scratch + SCALE);
                launch("nvfp4", WARP * n * Math.ceilDiv(blocks, 2L));
                fetch();
                return new MatrixShape(s, n, k, 0, words.get(ValueLayout.JAVA_FLOAT, SCALE), false, MatrixShape.Columns.NEIGHBOURS);
            }
            case Scheme.Int8 _, Scheme.Ggml _ -> throw new AssertionError(shape);
        }
        return shape;
    }

    private boolean saturate() {
        return options.overflow() == Overflow.SATURATE;
    }

    /** Range of the matrix; refuses NaN and infinities where the options say so. */
    private void scan() {
        stream.fill(scratch, (byte) 0, WORDS);
        stream.fill(scratch + FIRST, (byte) 0xff, 16);
        stream.arguments().struct(source).int64(scratch + RANGE).int64(scratch + COUNT).int64(scratch + FIRST);
        launch("scan", n * k);
        fetch();
        long count = words.get(ValueLayout.JAVA_LONG, COUNT);
        if (count > 0 && options.nonFinite() == NonFinite.REJECT) {
            long first = words.get(ValueLayout.JAVA_LONG, FIRST);
            throw new NonFiniteWeightsException(first / k, first % k, weights(first, 1).getFloat(0), count);
        }
    }

    private void int4(Scheme.Int4 s, long codes, long scales, long zeros) {
        boolean whole = s.grouping() instanceof Grouping.PerTensor;
        long rows = s.grouping().scaleRows(n);
        long groups = s.grouping().scaleCols(k);
        long size = s.grouping() instanceof Grouping.PerGroup g ? g.size() : k;
        if (whole || k > 0) {
            stream.arguments().struct(source).int64(whole ? scratch + RANGE : 0).int64(rows).int64(groups).int64(size)
                    .int32(ElementTypes.of(s.scaleType())).int32(s.symmetric() ? 1 : 0).int64(scales).int64(zeros).int64(scratch + OVERFLOW);
            launch("int4_scales", WARP * rows * Math.ceilDiv(groups, 2L));
        }
        stream.arguments().struct(source).struct(matrix).int64(codes);
        launch("int4_codes", n * Math.ceilDiv(k, 2L));
        fetch();
        long overflow = words.get(ValueLayout.JAVA_LONG, OVERFLOW);
        if (overflow != ALL_ONES) {
            long row = overflow / groups;
            long group = overflow % groups;
            float largest = whole
                    ? Float.intBitsToFloat(Math.max(words.get(ValueLayout.JAVA_INT, RANGE), words.get(ValueLayout.JAVA_INT, RANGE + 4)))
                    : largest(weights(row * k + group * size, Math.min(size, k - group * size)));
            throw new IllegalArgumentException("the INT4 scale of " + (whole ? "the matrix" : "row " + row + ", group " + group) + " (weights up to "
                    + largest + ") does not fit " + s.scaleType() + "; "
                    + (s.scaleType() == DType.F16 ? "use BF16 or F32 scales" : "scale the weights down"));
        }
    }

    private static float largest(Tensor weights) {
        float largest = 0;
        for (long i = 0; i < weights.elements(); i++) {
            float magnitude = Math.abs(weights.getFloat(i));
            largest = magnitude <= Float.MAX_VALUE ? Math.max(largest, magnitude) : largest;
        }
        return largest;
    }

    private void fp8(Scheme.Fp8 s, long codes, long scales) {
        Float8 format = s.format().float8();
        boolean whole = s.grouping() instanceof Grouping.PerTensor;
        boolean reciprocal = s.grouping() instanceof Grouping.PerBlock;
        long rows = s.grouping().scaleRows(n);
        long cols = s.grouping().scaleCols(k);
        if (whole || k > 0) {
            long tileRows = s.grouping() instanceof Grouping.PerBlock b ? b.rows() : 1;
            long tileCols = s.grouping() instanceof Grouping.PerBlock b ? b.cols() : k;
            stream.arguments().struct(source).int64(whole ? scratch + RANGE : 0).int64(rows).int64(cols).int64(tileRows).int64(tileCols)
                    .float32(format.max()).int32(reciprocal ? 1 : 0).int64(scales);
            launch("fp8_scales", WARP * rows * cols);
        }
        stream.arguments().struct(source).struct(matrix).int64(codes).int32(format == Float8.E4M3 ? 1 : 0).int32(reciprocal ? 1 : 0)
                .int32(format.overflowCode(options.overflow()));
        launch("fp8_codes", n * k);
    }

    private void bnb4(Scheme.Bnb4 s, long codes, long absmax) {
        boolean nf4 = s.codebook() == Scheme.Codebook.NF4;
        int zero = nf4 ? Nf4.ZERO : BnbFp4.ZERO;
        long blocks = Math.ceilDiv(n * k, (long) s.blockSize());
        stream.arguments().struct(source).int64(blocks).int64(s.blockSize()).int64(absmax);
        launch("bnb4_absmax", WARP * blocks);
        stream.arguments().struct(source).int64(absmax).int32(Integer.numberOfTrailingZeros(s.blockSize())).int32(nf4 ? 1 : 0)
                .int32(options.zeroBlock() == ZeroBlock.CUDA ? 0 : zero).int32(zero).int64(codes);
        launch("bnb4_codes", Math.ceilDiv(n * k, 2L));
    }

    private Function function(String operation) {
        return backend.kernels().function(FILE, "quantize_" + operation);
    }

    /** At least one block, so that kernels with more to do than their loop do it for empty matrices too. */
    private void launch(String operation, long threads) {
        stream.launch(function(operation), Math.clamp(Math.ceilDiv(threads, (long) THREADS), 1, MOST_BLOCKS), 1, THREADS, 0);
    }

    /** Waits, and reads the words of scratch memory. */
    private void fetch() {
        stream.download(words, scratch, WORDS);
        stream.synchronize();
    }

    /** Some weights, downloaded, to tell of them. */
    private Tensor weights(long from, long count) {
        Tensor some = Tensor.allocate(Arena.ofAuto(), weights.dtype(), count);
        stream.download(some.data(), weights.address() + from * weights.dtype().bits() / 8, some.data().byteSize());
        stream.synchronize();
        return some;
    }
}
