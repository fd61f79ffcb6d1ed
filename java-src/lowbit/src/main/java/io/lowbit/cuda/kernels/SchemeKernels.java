package io.lowbit.cuda.kernels;

import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;

/** What the kernels need to know of a scheme. */
public final class SchemeKernels {
    private SchemeKernels() {}

    /** The last part of its kernels' names: types and scaling. */
    public static String suffix(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Dense d -> switch (d.dtype()) {
                case F16 -> "f16_none";
                case BF16 -> "bf16_none";
                default -> "f32_none";
            };
            case Scheme.Int4 _ -> "int4_group";
            case Scheme.Bnb4 b -> b.codebook() == Scheme.Codebook.NF4 ? "nf4_block" : "fp4_block";
            case Scheme.Mxfp4 _ -> "mxfp4_block32";
            case Scheme.Nvfp4 _ -> "nvfp4_block16";
            case Scheme.Int8 _ -> "int8_row";
            case Scheme.Ggml g -> g.block().label() + "_block";
            case Scheme.Fp8 f -> float8(f.format());
            case Scheme.Mxfp8 f -> float8(f.format());
        };
    }

    /** One kernel takes F32 scales and E8M0 ones: {@code Matrix.scaleType} tells which. */
    private static String float8(Scheme.Fp8Format format) {
        return format == Scheme.Fp8Format.E4M3 ? "e4m3_block" : "e5m2_block";
    }

    /**
     * The source file that has an exact kernel for a scheme: {@code blocks} for ggml's blocks and INT8, else the one named
     * after the operation.
     *
     * @param operation {@code gemv}, {@code linear} or {@code dequantize}
     */
    public static String file(String operation, Scheme scheme) {
        return scheme instanceof Scheme.Ggml || scheme instanceof Scheme.Int8 ? "blocks" : operation;
    }

    /**
     * How many bf16 pieces add up to any weight of the scheme exactly: one piece holds 8 significant bits.
     *
     * <p>BF16 has 8 bits, F16 11. INT4 is an integer of at most 4 bits times a scale of 11 (F16) or 8 (BF16). MXFP4 is 2
     * bits times a power of two, MXFP8 4 or 3. The others are f32 products of 24 bits.
     */
    public static int weightPieces(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Dense d -> d.dtype() == DType.BF16 ? 1 : d.dtype() == DType.F16 ? 2 : 3;
            case Scheme.Int4 i -> i.scaleType() == DType.F32 ? 3 : 2;
            case Scheme.Mxfp4 _, Scheme.Mxfp8 _ -> 1;
            case Scheme.Bnb4 _, Scheme.Nvfp4 _, Scheme.Fp8 _, Scheme.Int8 _, Scheme.Ggml _ -> 3;
        };
    }

    /**
     * True when the scale of FP8 weights is the same for all 128 neighbours along K that the W8A8 kernel sums at once:
     * per tensor, per channel, or blocks whose width is a multiple of 128.
     */
    public static boolean takesFp8Activations(Scheme scheme) {
        return scheme instanceof Scheme.Fp8 f && !(f.grouping() instanceof Grouping.PerBlock b && b.cols() % 128 != 0);
    }

    /** The same for activations in the type of {@code scaling}, of the FP8 types: one of the operands at least is E4M3. */
    static boolean takesFp8Activations(Scheme scheme, ActivationScaling scaling) {
        return takesFp8Activations(scheme) && !(scaling.e5m2() && ((Scheme.Fp8) scheme).format() == Scheme.Fp8Format.E5M2);
    }
}
