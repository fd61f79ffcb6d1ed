package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/**
 * FP8 weights with activations quantized to E4M3 on the device, for every shape: {@code mma.sync}, 64 × 64 tiles, the
 * sums of each 128 along K scaled and added in f32.
 *
 * <p>Activation memory: codes {@code [M, pitch]} with pitch = K rounded up to 128, then scales, then the largest magnitude.
 */
final class W8a8Product implements ProductKernel {
    static final W8a8Product INSTANCE = new W8a8Product();

    private static final String FILE = "w8a8";
    private static final long ALIGNMENT = 256;
    private static final long MOST_BLOCKS = 65535;
    private static final long MOST_ROWS = 1 << 20;
    private static final int TILE = 64;
    private static final int THREADS = 128;
    private static final int QUANTIZE_THREADS = 256;

    private W8a8Product() {}

    @Override
    public String name() {
        return "w8a8";
    }

    @Override
    public String file(Scheme scheme) {
        return FILE;
    }

    @Override
    public String description() {
        return "64 x 64 tile, K step 128, mma.sync e4m3, f32 sums of each step scaled outside of the tensor cores";
    }

    @Override
    public List<String> entries(Scheme scheme) {
        if (!(scheme instanceof Scheme.Fp8 f)) {
            return List.of();
        }
        List<String> entries = new ArrayList<>(List.of(product(f), "amax_x_tensor"));
        for (ActivationScaling scaling : ActivationScaling.values()) {
            entries.add(quantizer(scaling));
        }
        return entries;
    }

    private static String product(Scheme.Fp8 scheme) {
        return scheme.format() == Scheme.Fp8Format.E4M3 ? "linear_e4m3_e4m3_block" : "linear_e5m2_e4m3_block";
    }

    private static String quantizer(ActivationScaling scaling) {
        return switch (scaling) {
            case TENSOR -> "quantize_x_tensor";
            case ROW -> "quantize_x_row";
            case BLOCK128 -> "quantize_x_block128";
        };
    }

    @Override
    public boolean runsOn(Architecture architecture) {
        return true;
    }

    @Override
    public WeightLayout layout(MatrixShape w) {
        return CanonicalLayout.INSTANCE;
    }

    @Override
    public boolean supports(MatrixShape w, DType x, DType y, ActivationScaling scaling) {
        return scaling != null && SchemeKernels.takesFp8Activations(w.scheme());
    }

    @Override
    public long activationBytes(long m, long n, long k, ActivationScaling scaling) {
        return scaling == null ? 0 : amaxOffset(m, k) + ALIGNMENT;
    }

    private static long pitch(long k) {
        return Math.max(128, Math.ceilDiv(k, 128L) * 128);
    }

    private static long scalesOffset(long m, long k) {
        return Math.ceilDiv(m * pitch(k), ALIGNMENT) * ALIGNMENT;
    }

    private static long amaxOffset(long m, long k) {
        return scalesOffset(m, k) + Math.ceilDiv(4 * m * (pitch(k) / 128), ALIGNMENT) * ALIGNMENT;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        Function amax = scaling == ActivationScaling.TENSOR ? kernels.function(FILE, "amax_x_tensor") : null;
        Function quantize = kernels.function(FILE, quantizer(scaling));
        Function product = kernels.function(FILE, product((Scheme.Fp8) weights.shape().scheme()));
        return new Prepared(weights, scaling, amax, quantize, product);
    }

    private record Prepared(LayerWeights weights, ActivationScaling scaling, Function amax, Function quantize, Function product)
            implements Product {
        @Override
        public ProductKernel kernel() {
            return INSTANCE;
        }

        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            long n = weights.shape().n();
            long k = weights.shape().k();
            long pitch = pitch(k);
            long blocks = pitch / 128;
            long scales = activations + scalesOffset(m, k);
            switch (scaling) {
                case TENSOR -> {
                    long largest = activations + amaxOffset(m, k);
                    stream.fill(largest, (byte) 0, 4);
                    stream.arguments().int64(x).int32(xType).int64(m * k).int64(largest);
                    stream.launch(amax, Math.clamp(Math.ceilDiv(m * k, 1024L), 1, 1024), 1, QUANTIZE_THREADS, 0);
                    stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(largest).int64(activations).int64(scales);
                    stream.launch(quantize, Math.min(m, MOST_ROWS), 1, QUANTIZE_THREADS, 0);
                }
                case ROW -> {
                    stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(activations).int64(scales);
                    stream.launch(quantize, Math.min(m, MOST_ROWS), 1, QUANTIZE_THREADS, 0);
                }
                case BLOCK128 -> {
                    stream.arguments().int64(x).int32(xType).int64(m).int64(k).int64(pitch).int64(activations).int64(scales);
                    stream.launch(quantize, Math.min(Math.ceilDiv(m * blocks, 8L), MOST_ROWS), 1, QUANTIZE_THREADS, 0);
                }
            }
            long rowStep = scaling == ActivationScaling.TENSOR ? 0 : scaling == ActivationScaling.ROW ? 1 : blocks;
            long colStep = scaling == ActivationScaling.BLOCK128 ? 1 : 0;
            stream.arguments().struct(weights.matrix()).int64(activations).int64(pitch).int64(scales).int64(rowStep).int64(colStep).int64(y)
                    .int32(yType).int64(weights.bias()).int32(weights.biasType()).int64(m);
            stream.launch(product, Math.ceilDiv(n, (long) TILE), Math.min(MOST_BLOCKS, Math.ceilDiv(m, (long) TILE)), THREADS, 0);
        }
    }
}
