package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;

/**
 * Activations quantized to E4M3 or INT8 in device memory, the same for every kernel that multiplies them: codes
 * {@code [M, pitch]} with {@link #pitch} = K rounded up to 128 and zero beyond K, then f32 scales, then a scratch of largest
 * magnitudes. For weights whose layout is {@link WeightLayout#interleaved}, the codes of every 16 columns lie as 0 8 1 9 … 7 15.
 *
 * <p>Scales: one (TENSOR), {@code [M]} (ROW, ROW_INT8) or {@code [K/128, M]} (BLOCK128 and BLOCK128_UE8M0), so that neighbours in
 * memory are rows.
 */
public final class Fp8Activations {
    static final String FILE = "fp8_quantize";

    private static final long ALIGNMENT = 256;
    private static final int PARTS = 1024;
    private static final int THREADS = 256;
    private static final int VECTOR = 8;
    private static final long MOST_BLOCKS = 1 << 20;

    private final Function amax;
    private final Function tensor;
    private final Function row;
    private final Function block128;
    private final Function rowInt8;
    private final LaunchConfig config;

    /** Loads the quantizers. */
    public Fp8Activations(Kernels kernels) {
        amax = kernels.function(FILE, "fp8_amax_tensor");
        tensor = kernels.function(FILE, "fp8_quantize_tensor");
        row = kernels.function(FILE, "fp8_quantize_row");
        block128 = kernels.function(FILE, "fp8_quantize_block128");
        rowInt8 = kernels.function(FILE, "int8_quantize_row");
        LaunchConfig plain = LaunchConfig.of(THREADS);
        config = kernels.architecture() == Architecture.SM90 ? plain.withOverlap() : plain;
    }

    /** Bytes from row to row of the codes. */
    public static long pitch(long k) {
        return Math.max(128, Math.ceilDiv(k, 128L) * 128);
    }

    /** Device bytes for M rows. */
    public static long bytes(long m, long k) {
        return partsOffset(m, k) + 4 * PARTS;
    }

    static long scalesOffset(long m, long k) {
        return Math.ceilDiv(m * pitch(k), ALIGNMENT) * ALIGNMENT;
    }

    private static long partsOffset(long m, long k) {
        return scalesOffset(m, k) + Math.ceilDiv(4 * m * (pitch(k) / 128), ALIGNMENT) * ALIGNMENT;
    }

    /** Scales from row to row. */
    static int scaleRow(ActivationScaling scaling) {
        return scaling == ActivationScaling.TENSOR ? 0 : 1;
    }

    /** Scales from one 128 along K to the next. */
    static int scaleCol(ActivationScaling scaling, long m) {
        return scaling.blocks() ? Math.toIntExact(m) : 0;
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
            case TENSOR -> {
                long parts = to + partsOffset(m, k);
                long blocks = Math.clamp(Math.ceilDiv(m * k, 4L * THREADS * VECTOR), 1, PARTS);
                stream.arguments().int64(x).int32(xType).int64(m * k).int64(parts);
                stream.launch(amax, config, blocks, 1, 1);
                stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(parts).int32((int) blocks).int64(to).int64(scales).int32(order);
                stream.launch(tensor, config, Math.clamp(Math.ceilDiv(m * pitch, 4L * THREADS * VECTOR), 1, 2L * PARTS), 1, 1);
            }
            case ROW, ROW_INT8 -> {
                stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(to).int64(scales).int32(order);
                stream.launch(scaling == ActivationScaling.ROW ? row : rowInt8, config, Math.min(m, MOST_BLOCKS), 1, 1);
            }
            case BLOCK128, BLOCK128_UE8M0 -> {
                stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(to).int64(scales)
                        .int32(scaling == ActivationScaling.BLOCK128_UE8M0 ? 1 : 0).int32(order);
                stream.launch(block128, config, Math.min(Math.ceilDiv(m * (pitch / 128), THREADS / 16L), MOST_BLOCKS), 1, 1);
            }
        }
    }
}
