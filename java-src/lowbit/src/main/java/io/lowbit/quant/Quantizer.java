package io.lowbit.quant;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/**
 * Makes quantized matrices by round-to-nearest, with or without a search for the best clipping range. Parallel, with
 * the same bits for any number of threads.
 */
public final class Quantizer {
    private Quantizer() {}

    /**
     * {@code weights} in {@code scheme}'s canonical layout. The result does not refer to {@code weights}.
     *
     * <p>Works on several threads where the memory of both {@code weights} and {@code arena} may be touched by them:
     * a confined arena on either side means one thread.
     *
     * @param weights {@code [N out, K in]}, F32, F16 or BF16, row-major
     * @param arena where the parts of the result are allocated
     * @throws NonFiniteWeightsException for NaN or infinite weights under {@link NonFinite#REJECT}
     * @throws IllegalArgumentException for another shape or type, for options that the scheme does not know, and
     *     where a scale does not fit its type
     * @throws IllegalStateException when the arena of {@code weights} or {@code arena} is closed
     */
    public static QuantizedMatrix quantize(Tensor weights, Scheme scheme, QuantizeOptions options, Arena arena) {
        if (weights.shape().rank() != 2) {
            throw new IllegalArgumentException("expected a weight matrix [N, K], got shape " + weights.shape());
        }
        DType dtype = weights.dtype();
        if (dtype != DType.F32 && dtype != DType.F16 && dtype != DType.BF16) {
            throw new IllegalArgumentException("expected weights of F32, F16 or BF16, got " + dtype);
        }
        if (options.clip() != null && !(scheme instanceof Scheme.Int4)) {
            throw new IllegalArgumentException("the clip search is for INT4, not for " + scheme.label() + "; leave it out");
        }
        if (options.nonFinite() == NonFinite.PROPAGATE && !scheme.hasNan()) {
            throw new IllegalArgumentException(scheme.label() + " has no NaN to propagate; use NonFinite.REJECT or NonFinite.ZERO");
        }
        int threads = Parallel.threadsFor(options.threads(), weights.data(), arena.allocate(1));
        WeightSource source = new WeightSource(weights, options.nonFinite(), threads);
        return switch (scheme) {
            case Scheme.Dense s -> DenseConverter.convert(source, s, options.overflow(), arena);
            case Scheme.Int4 s -> Int4Quantizer.quantize(source, s, options.clip(), arena);
            case Scheme.Bnb4 s -> Bnb4Quantizer.quantize(source, s, options.zeroBlock(), arena);
            case Scheme.Mxfp4 _ -> Mxfp4Quantizer.quantize(source, options.mxScaleRule(), arena);
            case Scheme.Mxfp8 s -> Mxfp8Quantizer.quantize(source, s, options.mxScaleRule(), options.overflow(), arena);
            case Scheme.Nvfp4 _ -> Nvfp4Quantizer.quantize(source, arena);
            case Scheme.Ggml _ -> GgmlQuantizer.quantize(source, scheme, arena);
            case Scheme.Int8 _ -> throw new IllegalArgumentException("Lowbit reads " + scheme.label() + " and does not quantize to it");
            case Scheme.Fp8 s -> Fp8Quantizer.quantize(source, s, options.overflow(), arena);
        };
    }
}
