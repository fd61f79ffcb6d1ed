package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;

/**
 * Activations quantized to E4M3, E5M2, INT8 or INT4 in device memory, the same for every kernel that multiplies them: codes
 * {@code [M, pitch]} with {@link #pitch} = K rounded up to 128 and zero beyond K, then f32 scales, then a scratch of largest
 * magnitudes. For weights whose layout is {@link WeightLayout#interleaved}, the codes of every 16 columns lie as 0 8 1 9 … 7 15.
 *
 * <p>Scales: f32, one for all, {@code [M]} for rows, or {@code [K/128, M]} (BLOCK128 and BLOCK128_UE8M0), so that neighbours in
 * memory are rows, each line of M rounded up to 4, so that the copy engine takes any 16 bytes of it. BLOCK32_E8M0: in the place of
 * each f32 four bf16, of the four blocks of those 128 columns.
 *
 * <p>INT4 (ROW_INT4) lies in the first half of each row, two codes a byte: {@code int4_quantize.cu} says in what order.
 */
public final class Fp8Activations {
    static final String FILE = "fp8_quantize";

    private static final long ALIGNMENT = 256;
    private static final int PARTS = 1024;
    private static final int THREADS = 256;
    private static final int MOST_THREADS = 1024;
    private static final int WARP = 32;
    private static final int VECTOR = 16;
    private static final long MOST_BLOCKS = 1 << 20;
    private static final String INT4_FILE = "int4_quantize";

    private final Kernels kernels;
    private final Function amax;
    private final Function tensor;
    private final Function row;
    private final Function block128;
    private final Function block32;
    private final LaunchConfig config;
    private final LaunchConfig[] rowConfigs;
    private volatile Function rowInt4;

    /** Loads the quantizers, but that to INT4, which is rare: its first use does. */
    public Fp8Activations(Kernels kernels) {
        this.kernels = kernels;
        amax = kernels.function(FILE, "fp8_amax_tensor");
        tensor = kernels.function(FILE, "fp8_quantize_tensor");
        row = kernels.function(FILE, "fp8_quantize_row");
        block128 = kernels.function(FILE, "fp8_quantize_block128");
        block32 = kernels.function(FILE, "fp8_quantize_block32");
        config = config(kernels, THREADS);
        rowConfigs = rowConfigs(kernels);
    }

    /** Blocks of the threads that a kernel with no rows of its own takes. */
    static LaunchConfig config(Kernels kernels) {
        return config(kernels, THREADS);
    }

    private static LaunchConfig config(Kernels kernels, int threads) {
        LaunchConfig plain = LaunchConfig.of(threads);
        return kernels.architecture() == Architecture.SM90 ? plain.withOverlap() : plain;
    }

    /** By warps, for kernels where each block takes rows: see {@link #rowConfig}. */
    static LaunchConfig[] rowConfigs(Kernels kernels) {
        LaunchConfig[] configs = new LaunchConfig[MOST_THREADS / WARP + 1];
        for (int warps = 1; warps < configs.length; warps++) {
            configs[warps] = config(kernels, warps * WARP);
        }
        return configs;
    }

    /** A thread for each vector of a row, or where those are too many, for every second, third … */
    static LaunchConfig rowConfig(LaunchConfig[] configs, long columns) {
        long vectors = Math.ceilDiv(columns, VECTOR);
        long rounds = Math.ceilDiv(vectors, MOST_THREADS);
        return configs[(int) Math.ceilDiv(vectors, WARP * rounds)];
    }

    /** The type of the codes, as the kernels number them. */
    static int code(ActivationScaling scaling) {
        return !scaling.fp8() ? 2 : scaling.e5m2() ? 1 : 0;
    }

    private Function rowInt4() {
        Function known = rowInt4;
        if (known == null) {
            known = kernels.function(INT4_FILE, "int4_quantize_row");
            rowInt4 = known;
        }
        return known;
    }

    /** Bytes from row to row of the codes. */
    public static long pitch(long k) {
        return Math.max(128, Math.ceilDiv(k, 128L) * 128);
    }

    /** Device bytes for M rows. */
    public static long bytes(long m, long k) {
        return partsOffset(m, k) + 4 * PARTS;
    }

    /** Bytes from the first code to the first scale. */
    public static long scalesOffset(long m, long k) {
        return Math.ceilDiv(m * pitch(k), ALIGNMENT) * ALIGNMENT;
    }

    private static long partsOffset(long m, long k) {
        return scalesOffset(m, k) + Math.ceilDiv(8 * line(m) * (pitch(k) / 128), ALIGNMENT) * ALIGNMENT;
    }

    /** Scales from row to row. */
    public static int scaleRow(ActivationScaling scaling) {
        return scaling.tensor() ? 0 : 1;
    }

    /** Scales, for BLOCK32_E8M0 fours of them, from one 128 along K to the next. */
    public static int scaleCol(ActivationScaling scaling, long m) {
        return scaling.blocks() || scaling.mx() ? Math.toIntExact(line(m)) : 0;
    }

    private static long line(long m) {
        return Math.ceilDiv(m, 4L) * 4;
    }

    /**
     * Quantizes x, adding to {@code stream}.
     *
     * @param interleaved the order of the codes: {@link WeightLayout#interleaved}
     * @param to {@link #bytes} bytes from a multiple of 16 on
     */
    public void quantize(Stream stream, ActivationScaling scaling, long x, int xType, long m, long k, boolean interleaved, long to) {
        int order = interleaved ? 1 : 0;
        long pitch = pitch(k);
        long scales = to + scalesOffset(m, k);
        switch (scaling) {
            case TENSOR, TENSOR_E5M2 -> {
                if (pitch == k && m * k <= (long) MOST_THREADS * VECTOR) {
                    rows(stream, scaling, x, xType, 1, m * k, m * k, to, scales, order);
                    return;
                }
                long parts = to + partsOffset(m, k);
                long blocks = Math.clamp(Math.ceilDiv(m * k, (long) THREADS * VECTOR), 1, PARTS);
                stream.arguments().int64(x).int32(xType).int64(m * k).int64(parts);
                stream.launch(amax, config, blocks, 1, 1);
                stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(parts).int32((int) blocks).int64(to).int64(scales)
                        .int32(code(scaling)).int32(order);
                stream.launch(tensor, config, Math.clamp(Math.ceilDiv(m * pitch, (long) THREADS * VECTOR), 1, 2L * PARTS), 1, 1);
            }
            case ROW_INT4 -> {
                Function function = rowInt4();
                stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(to).int64(scales).int32(order);
                stream.launch(function, config, rowBlocks(m), 1, 1);
            }
            case ROW, ROW_INT8, ROW_E5M2 -> rows(stream, scaling, x, xType, m, k, pitch, to, scales, order);
            case BLOCK128, BLOCK128_UE8M0 -> {
                stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(to).int64(scales).int64(scaleCol(scaling, m))
                        .int32(ue8m0(scaling)).int32(order);
                stream.launch(block128, config, blockBlocks(m, k), 1, 1);
            }
            case BLOCK32_E8M0 -> {
                stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(to).int64(scales).int64(scaleCol(scaling, m));
                stream.launch(block32, config, blockBlocks(m, k), 1, 1);
            }
        }
    }

    private void rows(Stream stream, ActivationScaling scaling, long x, int xType, long m, long k, long pitch, long to, long scales, int order) {
        stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(to).int64(scales).int32(code(scaling)).int32(order);
        stream.launch(row, rowConfig(rowConfigs, pitch), rowBlocks(m), 1, 1);
    }

    static int ue8m0(ActivationScaling scaling) {
        return scaling == ActivationScaling.BLOCK128_UE8M0 ? 1 : 0;
    }

    /** Blocks of a launch where each takes rows. */
    static long rowBlocks(long m) {
        return Math.min(m, MOST_BLOCKS);
    }

    /** Blocks of a launch where each thread takes a vector. */
    static long blockBlocks(long m, long k) {
        return Math.min(Math.ceilDiv(m * (pitch(k) / VECTOR), (long) THREADS), MOST_BLOCKS);
    }
}
