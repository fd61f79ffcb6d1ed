package io.lowbit.cuda.kernels;

import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.LaunchConfig;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;

/** The element-wise step before a linear layer and the quantization of its result, as one kernel; the result as {@link Fp8Activations} lays it out. */
public final class FusedActivations {
    static final String FILE = "fp8_fused";

    private final Function normRow;
    private final Function normBlock128;
    private final Function siluRow;
    private final Function siluBlock128;
    private final LaunchConfig config;
    private final LaunchConfig[] rowConfigs;

    /** Loads the kernels. */
    public FusedActivations(Kernels kernels) {
        normRow = kernels.function(FILE, "norm_quantize_row");
        normBlock128 = kernels.function(FILE, "norm_quantize_block128");
        siluRow = kernels.function(FILE, "silu_quantize_row");
        siluBlock128 = kernels.function(FILE, "silu_quantize_block128");
        config = Fp8Activations.config(kernels);
        rowConfigs = Fp8Activations.rowConfigs(kernels);
    }

    /**
     * RMSNorm of x, adding to {@code stream}.
     *
     * @param scaling not one scale for all
     * @param interleaved the order of the codes: {@link WeightLayout#interleaved}
     * @param to {@link Fp8Activations#bytes} bytes from a multiple of 16 on
     * @param values address of f32 {@code [M, K]} for what is quantized, or 0
     */
    public void norm(Stream stream, ActivationScaling scaling, long x, int xType, long weight, int weightType, float epsilon, long m, long k,
            boolean interleaved, long to, long values) {
        stream.arguments().int64(x).int32(xType).int64(weight).int32(weightType).int32(Float.floatToRawIntBits(epsilon)).int64(values).int64(m)
                .int64(k).int64(Fp8Activations.pitch(k)).int64(to).int64(to + Fp8Activations.scalesOffset(m, k)).int32(Fp8Activations.code(scaling))
                .int32(interleaved ? 1 : 0).int64(Fp8Activations.scaleCol(scaling, m)).int32(Fp8Activations.ue8m0(scaling));
        stream.launch(scaling.blocks() ? normBlock128 : normRow, Fp8Activations.rowConfig(rowConfigs, Fp8Activations.pitch(k)), Fp8Activations.rowBlocks(m), 1, 1);
    }

    /**
     * SiLU of gate times up, adding to {@code stream}; arguments as those of {@link #norm}.
     *
     * @param type of gate and up
     */
    public void gate(Stream stream, ActivationScaling scaling, long gate, long up, int type, long m, long k, boolean interleaved, long to,
            long values) {
        Arguments arguments = stream.arguments().int64(gate).int64(up).int32(type).int64(values).int64(m).int64(k)
                .int64(Fp8Activations.pitch(k)).int64(to).int64(to + Fp8Activations.scalesOffset(m, k));
        if (scaling.blocks()) {
            arguments.int32(interleaved ? 1 : 0).int64(Fp8Activations.scaleCol(scaling, m)).int32(Fp8Activations.ue8m0(scaling));
            stream.launch(siluBlock128, config, Fp8Activations.blockBlocks(m, k), 1, 1);
        } else {
            arguments.int32(Fp8Activations.code(scaling)).int32(interleaved ? 1 : 0);
            stream.launch(siluRow, Fp8Activations.rowConfig(rowConfigs, Fp8Activations.pitch(k)), Fp8Activations.rowBlocks(m), 1, 1);
        }
    }
}
