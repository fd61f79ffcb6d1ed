package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import java.util.List;
import java.util.Locale;

/**
 * A product with activations of 8 bits.
 *
 * @param scaling how they are quantized
 * @param accumulation what may be lost in summing
 * @param within true where every launch quantizes them; else they are quantized beforehand
 */
record EightBits(ActivationScaling scaling, Accumulation accumulation, boolean within) {
    private static final String W8 = " w8a8 ";
    private static final String W4 = " w4a8 ";

    /**
     * Those that are timed for weights of a scheme. FP8 weights take E4M3, scaled as the weights are: per tensor, per row for
     * weights per channel, in blocks for blocks; MXFP8 takes MXFP8; INT4 weights take E4M3 or INT8 a row. Whether a device has a
     * kernel for them only a layer knows.
     */
    static List<EightBits> of(Scheme scheme, boolean within) {
        if (scheme instanceof Scheme.Fp8 fp8) {
            return !SchemeKernels.takesFp8Activations(fp8) ? List.of()
                    : List.of(new EightBits(scaling(fp8.grouping()), Accumulation.PRECISE, within),
                            new EightBits(scaling(fp8.grouping()), Accumulation.FAST, within));
        }
        if (scheme instanceof Scheme.Mxfp8) {
            return List.of(new EightBits(ActivationScaling.BLOCK32_E8M0, Accumulation.PRECISE, within));
        }
        return scheme instanceof Scheme.Int4 int4 && int4.symmetric() && int4.grouping() instanceof Grouping.PerGroup group && group.size() % 32 == 0
                ? List.of(new EightBits(ActivationScaling.ROW, Accumulation.PRECISE, within), new EightBits(ActivationScaling.ROW, Accumulation.FAST, within),
                        new EightBits(ActivationScaling.ROW_INT8, Accumulation.EXACT, within))
                : List.of();
    }

    private static ActivationScaling scaling(Grouping grouping) {
        return switch (grouping) {
            case Grouping.PerTensor _ -> ActivationScaling.TENSOR;
            case Grouping.PerBlock _ -> ActivationScaling.BLOCK128;
            case Grouping.PerChannel _, Grouping.PerGroup _ -> ActivationScaling.ROW;
        };
    }

    /** A contender's name: {@code fp8 e4m3 tensor w8a8 fast}, {@code int4 sym g128 w4a8 e4m3-row fast}, {@code int4 sym g128 w4a8 int8-row exact}. */
    String name(Scheme scheme) {
        String operands = scheme instanceof Scheme.Fp8 || scheme instanceof Scheme.Mxfp8 ? W8 : W4 + scaling.label() + " ";
        return scheme.label() + operands + accumulation.name().toLowerCase(Locale.ROOT) + (within ? " +quantize" : "");
    }

    /** The scheme's part of a contender's name. */
    static String scheme(String name) {
        String contender = Forced.contender(name);
        int at = Math.max(contender.indexOf(W8), contender.indexOf(W4));
        return at < 0 ? contender : contender.substring(0, at);
    }
}
