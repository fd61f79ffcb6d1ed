package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.format.GoldenFile;
import io.lowbit.format.MxScaleRule;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** torchao's MXFP4, MXFP8 and NVFP4, both ways, bit for bit; NVFP4 as compressed-tensors stores it, decoded. */
public abstract class MxNvGoldenCases {
    /** Who is tested. */
    protected abstract Engine engine();

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource({"w_f32,FLOOR", "w_f32,RCEIL", "w_f32,EVEN", "w_bf16,FLOOR", "w_bf16,RCEIL", "w_bf16,EVEN"})
    public void mxfp4(String source, MxScaleRule rule) {
        GoldenFile golden = GoldenFile.open("mxfp4.safetensors");
        String prefix = "mxfp4." + source + "." + rule.name().toLowerCase(Locale.ROOT) + ".";
        Tensor w = golden.get(source);
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = engine().quantize(w, new Scheme.Mxfp4(), QuantizeOptions.DEFAULT.withMxScaleRule(rule), arena);
            Bitwise.assertSame(golden.get(prefix + "scale"), m.scales(), "scale");
            Bitwise.assertSame(golden.get(prefix + "qdata"), m.codes(), "qdata");
            QuantizedMatrix stored = QuantizedMatrix.mxfp4(w.dim(0), w.dim(1), golden.get(prefix + "qdata"), golden.get(prefix + "scale"));
            Bitwise.assertSame(golden.get(prefix + "dequant_f32"), engine().dequantize(stored, DType.F32, arena), "dequant_f32");
            Bitwise.assertSame(golden.get(prefix + "dequant_bf16"), engine().dequantize(stored, DType.BF16, arena), "dequant_bf16");
        }
    }

    @Test
    public void mxfp8() {
        GoldenFile golden = GoldenFile.open("mxfp4.safetensors");
        Scheme.Mxfp8 scheme = new Scheme.Mxfp8(Scheme.Fp8Format.E4M3);
        Tensor w = golden.get("w_f32");
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = engine().quantize(w, scheme, QuantizeOptions.DEFAULT, arena);
            Bitwise.assertSame(golden.get("mxfp8.w_f32.floor.scale"), m.scales(), "scale");
            Bitwise.assertSame(golden.get("mxfp8.w_f32.floor.qdata"), m.codes(), "qdata");
            QuantizedMatrix stored = QuantizedMatrix.mxfp8(scheme, w.dim(0), w.dim(1), golden.get("mxfp8.w_f32.floor.qdata"),
                    golden.get("mxfp8.w_f32.floor.scale"));
            Bitwise.assertSame(golden.get("mxfp8.w_f32.floor.dequant_f32"), engine().dequantize(stored, DType.F32, arena), "dequant_f32");
            Bitwise.assertSame(golden.get("mxfp8.w_f32.floor.dequant_bf16"), engine().dequantize(stored, DType.BF16, arena), "dequant_bf16");
        }
    }

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource({"w_f32,global", "w_f32,single", "w_bf16,global", "w_bf16,single"})
    public void nvfp4(String source, String level) {
        GoldenFile golden = GoldenFile.open("nvfp4/torchao.safetensors");
        String prefix = "nvfp4." + source + "." + level + ".";
        Tensor w = golden.get(source);
        boolean global = level.equals("global");
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = global
                    ? engine().quantize(w, new Scheme.Nvfp4(), QuantizeOptions.DEFAULT, arena)
                    : Nvfp4Quantizer.quantize(new WeightSource(w, NonFinite.REJECT, 2), 1f, arena);
            float tensorScale = global ? golden.get(prefix + "per_tensor_scale").getFloat(0) : 1f;
            assertEquals(Float.floatToRawIntBits(tensorScale), Float.floatToRawIntBits(m.tensorScale()), "per_tensor_scale");
            Bitwise.assertSame(golden.get(prefix + "scale"), m.scales(), "scale");
            Bitwise.assertSame(golden.get(prefix + "qdata"), m.codes(), "qdata");
            QuantizedMatrix stored = QuantizedMatrix.nvfp4(w.dim(0), w.dim(1), golden.get(prefix + "qdata"), golden.get(prefix + "scale"), tensorScale);
            Bitwise.assertSame(golden.get(prefix + "dequant_f32"), engine().dequantize(stored, DType.F32, arena), "dequant_f32");
            Bitwise.assertSame(golden.get(prefix + "dequant_bf16"), engine().dequantize(stored, DType.BF16, arena), "dequant_bf16");
        }
    }
}
