package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Module;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.ElementTypes;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;

/** The harness's own kernels (kernels-cuda/bench.cu). Each call adds work to a stream and returns. */
final class BenchKernels implements AutoCloseable {
    /** Loads in flight in a thread of {@link #read}. */
    static final int[] READ_UNROLLS = {1, 4, 8};

    private static final int THREADS = 256;
    private static final int READ_THREADS = 512;
    private static final int REFERENCE_THREADS = 128;

    private final Module module;
    private final int blocks;
    private final Function normal;
    private final Function amax;
    private final Function quantize;
    private final Function rows;
    private final Function reference;
    private final Function firstNan;
    private final Function[] read = new Function[READ_UNROLLS.length];

    BenchKernels(Context context) {
        Architecture architecture = Architecture.of(context.device());
        String resource = "bench." + architecture.target() + ".ptx";
        module = Module.load(context, resource, ptx(resource));
        blocks = 8 * context.device().multiprocessors();
        String prefix = architecture.prefix() + "_bench_";
        normal = module.function(prefix + "normal");
        amax = module.function(prefix + "amax");
        quantize = module.function(prefix + "quantize");
        rows = module.function(prefix + "rows");
        reference = module.function(prefix + "reference");
        firstNan = module.function(prefix + "first_nan");
        for (int i = 0; i < read.length; i++) {
            read[i] = module.function(prefix + "read_" + READ_UNROLLS[i]);
        }
    }

    static byte[] ptx(String resource) {
        try (InputStream in = BenchKernels.class.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IllegalStateException("kernel resource " + resource + " is missing from the jar: build Lowbit again");
            }
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException("kernel resource " + resource, e);
        }
    }

    /** Fills {@code out} with normal numbers. */
    void normal(Stream stream, DeviceTensor out, long seed, float deviation) {
        stream.arguments().int64(out.address()).int32(ElementTypes.of(out.dtype())).int64(out.shape().elements()).int64(seed)
                .int32(Float.floatToRawIntBits(deviation));
        stream.launch(normal, blocks, 1, THREADS, 0);
    }

    /**
     * Reads {@code bytes} bytes.
     *
     * @param variant index into {@link #READ_UNROLLS}
     * @param sink 4 bytes that the read would write if it met only ones
     */
    void read(Stream stream, int variant, int grid, long from, long bytes, long sink) {
        stream.arguments().int64(from).int64(bytes / 16).int64(sink);
        stream.launch(read[variant], grid, 1, READ_THREADS, 0);
    }

    /**
     * Quantizes x to 8 bits.
     *
     * @param width neighbours of a row that share a scale: K for a scale a row; 0 for one scale in all
     * @param int8 true for INT8, false for E4M3
     * @param power true to round scales up to powers of two
     * @param word 4 bytes of scratch
     * @param codes M·K bytes
     * @param scales 4 bytes for each scale
     */
    void quantize(Stream stream, DeviceTensor x, long width, boolean int8, boolean power, long word, long codes, long scales) {
        long m = x.shape().dim(0);
        long k = x.shape().dim(1);
        int type = ElementTypes.of(x.dtype());
        if (width == 0) {
            stream.fill(word, (byte) 0, 4);
            stream.arguments().int64(x.address()).int32(type).int64(m * k).int64(word);
            stream.launch(amax, blocks, 1, THREADS, 0);
        }
        stream.arguments().int64(x.address()).int32(type).int64(m).int64(k).int64(width).int32(int8 ? 1 : 0).int64(word).int64(codes).int64(scales)
                .int32(power ? 1 : 0);
        stream.launch(quantize, Math.min(m, 1 << 16), 1, THREADS, 0);
    }

    /**
     * Picks rows of x, as f64.
     *
     * @param codes 0 for x itself, else what {@link #quantize} made of it
     * @param int8 what it was told then
     * @param rowList {@code count} row numbers, 8 bytes each
     * @param out {@code count}·K·8 bytes
     */
    void rows(Stream stream, DeviceTensor x, long codes, long scales, long width, boolean int8, long rowList, int count, long out) {
        stream.arguments().int64(x.address()).int32(ElementTypes.of(x.dtype())).int64(codes).int64(scales).int64(width)
                .int32(int8 ? 1 : 0).int64(x.shape().dim(1)).int64(rowList).int64(out);
        stream.launch(rows, count, 1, THREADS, 0);
    }

    /**
     * The reference of a sample of y: Σ x·w, Σ |x·w| and y itself, three f64 for each row and column.
     *
     * @param x f64 rows {@code [rowCount, K]}
     * @param w f32 rows {@code [columnCount, K]}
     */
    void reference(Stream stream, long x, long w, long k, long rowList, int rowCount, long columnList, int columnCount, DeviceTensor y,
            long out) {
        stream.arguments().int64(x).int64(w).int64(k).int64(rowList).int64(columnList).int64(y.address())
                .int32(ElementTypes.of(y.dtype())).int64(y.shape().dim(1)).int64(out);
        stream.launch(reference, columnCount, rowCount, REFERENCE_THREADS, 0);
    }

    /** Lowers the 8 bytes at {@code word}, unsigned, to the index of y's first NaN; without a NaN they stay. */
    void firstNan(Stream stream, DeviceTensor y, long word) {
        stream.arguments().int64(y.address()).int32(ElementTypes.of(y.dtype())).int64(y.shape().elements()).int64(word);
        stream.launch(firstNan, blocks, 1, THREADS, 0);
    }

    @Override
    public void close() {
        module.close();
    }
}
