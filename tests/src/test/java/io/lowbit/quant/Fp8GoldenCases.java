package io.lowbit.quant;

import io.lowbit.format.GoldenFile;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** FP8 by DeepGEMM (128×128 blocks) and compressed-tensors (tensor and channel). */
public abstract class Fp8GoldenCases {
    /** Who is tested. */
    protected abstract Engine engine();

    private static final Scheme.Fp8 BLOCK = new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.block(128, 128));

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"gate_proj", "up_proj", "down_proj"})
    public void block128(String layer) {
        String prefix = "model.layers.0.mlp." + layer + ".weight";
        GoldenFile stored = GoldenFile.open("fp8/block128.safetensors");
        GoldenFile expected = GoldenFile.open("fp8/block128_expected.safetensors");
        Tensor w = expected.get(prefix + "_original_bf16");
        Tensor codes = stored.get(prefix);
        Tensor scales = stored.get(prefix + "_scale_inv");
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = QuantizedMatrix.fp8(BLOCK, w.dim(0), w.dim(1), codes, scales);
            Bitwise.assertSame(expected.get(prefix + "_f32"), engine().dequantize(m, DType.F32, arena), "weight_f32");
            Bitwise.assertSame(expected.get(prefix + "_bf16"), engine().dequantize(m, DType.BF16, arena), "weight_bf16");
            if (!layer.equals("down_proj")) {
                // down_proj has power-of-two scales, which Lowbit reads but does not choose
                QuantizedMatrix own = engine().quantize(w, BLOCK, QuantizeOptions.DEFAULT, arena);
                Bitwise.assertSame(scales, own.scales(), "scales");
                Bitwise.assertSame(codes, own.codes(), "codes");
            }
        }
    }

    /** The layer with f32 scales; the others round their scales to 16 bits, which is their file's business. */
    @Test
    public void perChannel() {
        String prefix = "model.layers.2.mlp.up_proj.weight";
        GoldenFile stored = GoldenFile.open("fp8/per_tensor_per_channel.safetensors");
        GoldenFile expected = GoldenFile.open("fp8/per_tensor_per_channel_expected.safetensors");
        Scheme.Fp8 scheme = new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL);
        Tensor w = expected.get(prefix + "_original");
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = QuantizedMatrix.fp8(scheme, w.dim(0), w.dim(1), stored.get(prefix), stored.get(prefix + "_scale"));
            Bitwise.assertSame(expected.get(prefix + "_f32"), engine().dequantize(m, DType.F32, arena), "weight_f32");
            QuantizedMatrix own = engine().quantize(w, scheme, QuantizeOptions.DEFAULT, arena);
            Bitwise.assertSame(stored.get(prefix + "_scale"), own.scales(), "scales");
            Bitwise.assertSame(stored.get(prefix), own.codes(), "codes");
        }
    }
}
