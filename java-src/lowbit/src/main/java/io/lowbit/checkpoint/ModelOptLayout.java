package io.lowbit.checkpoint;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * NVIDIA ModelOpt's NVFP4: {@code weight} U8 {@code [N, K/2]}, low nibble first, {@code weight_scale} F8_E4M3
 * {@code [N, K/16]}, {@code weight_scale_2} F32 scalar, which multiplies.
 */
final class ModelOptLayout implements Layout {
    @Override
    public String name() {
        return "modelopt";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        for (String name : c.names()) {
            if (name.endsWith(".weight_scale_2")) {
                String layer = name.substring(0, name.length() - ".weight_scale_2".length());
                if (c.has(layer + ".weight") && c.tensor(layer + ".weight").dtype() == DType.U8) {
                    out.put(layer, Layout.present(c, layer, ".weight", ".weight_scale", ".weight_scale_2", ".input_scale"));
                }
            }
        }
        return out;
    }

    @Override
    public QuantizedMatrix read(Checkpoint c, String layer, Arena arena) {
        Tensor packed = c.tensor(layer + ".weight");
        Tensor scales = c.tensor(layer + ".weight_scale");
        Tensor second = c.tensor(layer + ".weight_scale_2");
        if (packed.shape().rank() != 2) {
            throw Layout.wrong(c, layer, "its weight is " + TensorSpec.of(packed) + ", expected U8 [N, K/2]");
        }
        long n = packed.dim(0);
        long k = Math.multiplyExact(packed.dim(1), 2L);
        if (scales.dtype() != DType.F8_E4M3 || !scales.shape().equals(Shape.of(n, Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK)))) {
            throw Layout.wrong(c, layer, "its weight_scale is " + TensorSpec.of(scales) + ", expected F8_E4M3 [" + n + ", "
                    + Math.ceilDiv(k, (long) Scheme.Nvfp4.BLOCK) + "]");
        }
        if (second.dtype() != DType.F32 || second.elements() != 1) {
            throw Layout.wrong(c, layer, "its weight_scale_2 is " + TensorSpec.of(second) + ", expected an F32 scalar");
        }
        return QuantizedMatrix.nvfp4(n, k, packed, scales, second.getFloat(0));
    }

    @Override
    public String refusal(LayerInfo info) {
        if (!(info.scheme() instanceof Scheme.Nvfp4)) {
            return "it holds NVFP4 only";
        }
        return info.k() % Scheme.Nvfp4.BLOCK == 0 ? null : "K = " + info.k() + " is no multiple of " + Scheme.Nvfp4.BLOCK
                + ", which the format demands; --exclude the layer or take another scheme";
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        out.put(layer + ".weight", TensorSpec.of(DType.U8, info.n(), info.k() / 2));
        out.put(layer + ".weight_scale", TensorSpec.of(DType.F8_E4M3, info.n(), info.k() / Scheme.Nvfp4.BLOCK));
        out.put(layer + ".weight_scale_2", TensorSpec.of(DType.F32));
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        if (!Float.isNaN(m.tensorDivisor())) {
            throw new IllegalArgumentException("layout " + name() + ", " + m + ": it stores a multiplier, the matrix has a divisor");
        }
        Map<String, Tensor> out = new LinkedHashMap<>();
        out.put(layer + ".weight", m.codes());
        out.put(layer + ".weight_scale", m.scales());
        out.put(layer + ".weight_scale_2", Tensor.ofFloats(arena, new float[] {m.tensorScale()}));
        return out;
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        Map<String, Object> weights = new LinkedHashMap<>();
        weights.put("dynamic", false);
        weights.put("num_bits", 4);
        weights.put("type", "float");
        weights.put("group_size", Scheme.Nvfp4.BLOCK);
        Map<String, Object> group = new LinkedHashMap<>();
        group.put("weights", weights);
        group.put("targets", List.of("Linear"));
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("quant_method", "modelopt");
        out.put("quant_algo", "NVFP4");
        out.put("config_groups", Map.of("group_0", group));
        out.put("ignore", skipped);
        return out;
    }
}
