package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;

/**
 * FP8 weights with activations quantized to E4M3, or E4M3 weights with E5M2 activations, for every shape: {@code mma.sync}, 64 × 64 tiles, the
 * sums of each 128 along K (MXFP8: 32) scaled and added in f32. On Hopper, which computes it in f16 with f32 sums, this is the one that
 * sums exactly.
 */
final class W8a8Product implements ProductKernel {
    static final W8a8Product INSTANCE = new W8a8Product();

    private static final String FILE = "w8a8";
    private static final long MOST_BLOCKS = 65535;
    private static final int TILE = 64;
    private static final int THREADS = 128;

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
        return "64 x 64 tile, K step 128, mma.sync e4m3 and e5m2, f32 sums of each step scaled outside of the tensor cores";
    }

    @Override
    public List<String> entries(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Fp8 s when s.format() == Scheme.Fp8Format.E4M3 -> List.of(product(s, false), product(s, true));
            case Scheme.Fp8 _, Scheme.Mxfp8 _ -> List.of(product(scheme, false));
            default -> List.of();
        };
    }

    /** Named by the types of w and x. */
    private static String product(Scheme scheme, boolean xE5m2) {
        return switch (scheme) {
            case Scheme.Fp8 s -> s.format() == Scheme.Fp8Format.E5M2 ? "linear_e5m2_e4m3_block" : xE5m2 ? "linear_e4m3_e5m2_block" : "linear_e4m3_e4m3_block";
            case Scheme.Mxfp8 s -> s.format() == Scheme.Fp8Format.E5M2 ? "linear_e5m2_e4m3_block32" : "linear_e4m3_e4m3_block32";
            default -> throw new IllegalArgumentException(scheme.label() + ": expected FP8 or MXFP8");
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
        return w.scheme() instanceof Scheme.Mxfp8 ? scaling != null && scaling.mx()
                : scaling != null && scaling.fp8() && !scaling.mx() && SchemeKernels.takesFp8Activations(w.scheme(), scaling);
    }

    @Override
    public boolean writesCodes() {
        return true;
    }

    @Override
    public Product prepare(Kernels kernels, LayerWeights weights, ActivationScaling scaling) {
        return new Prepared(weights, scaling, kernels.function(FILE, product(weights.shape().scheme(), scaling.e5m2())));
    }

    private record Prepared(LayerWeights weights, ActivationScaling scaling, Function product) implements Product {
        @Override
        public ProductKernel kernel() {
            return INSTANCE;
        }

        @Override
        public void enqueue(Stream stream, long m, long x, int xType, long y, int yType, long activations) {
            enqueue(stream, m, y, yType, 0, 1, 0, activations);
        }

        @Override
        public void enqueueCodes(Stream stream, long m, long y, ActivationScaling yScaling, float yScale, long activations) {
            long n = weights.shape().n();
            enqueue(stream, m, y, ElementTypes.ofCodes(yScaling), Fp8Activations.pitch(n), yScale, y + Fp8Activations.scalesOffset(m, n), activations);
        }

        private void enqueue(Stream stream, long m, long y, int yType, long yPitch, float yScale, long yScaleTo, long activations) {
            long n = weights.shape().n();
            long k = weights.shape().k();
            stream.arguments().struct(weights.matrix()).int64(activations).int64(Fp8Activations.pitch(k))
                    .int64(activations + Fp8Activations.scalesOffset(m, k)).int64(Fp8Activations.scaleRow(scaling))
                    .int64(Fp8Activations.scaleCol(scaling, m)).int64(y).int32(yType).int64(weights.bias()).int32(weights.biasType()).int64(m)
                    .int64(yPitch).int32(Float.floatToRawIntBits(yScale)).int64(yScaleTo);
            stream.launch(product, Math.ceilDiv(n, (long) TILE), Math.min(MOST_BLOCKS, Math.ceilDiv(m, (long) TILE)), THREADS, 0);
        }
    }
}
