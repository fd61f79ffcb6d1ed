package io.lowbit.checkpoint;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * compressed-tensors {@code nvfp4-pack-quantized} and {@code mxfp4-pack-quantized}: {@code weight_packed} U8
 * {@code [N, K/2]}, low nibble first, {@code weight_scale} F8_E4M3 {@code [N, K/16]} with {@code weight_global_scale}
 * F32 {@code [1]}, a divisor, or U8 {@code [N, K/32]}, E8M0.
 */
final class PackedFp4Layout implements Layout {
    @Override
    public String name() {
        return "compressed-tensors";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        c.tensors().forEach((name, t) -> {
            if (name.endsWith(".weight_packed") && t.dtype() == DType.U8) {
                String layer = name.substring(0, name.length() - ".weight_packed".length());
                List<String> parts = new ArrayList<>();
                for (String part : List.of(".weight_packed", ".weight_scale", ".weight_global_scale", ".input_global_scale")) {
                    if (c.has(layer + part)) {
                        parts.add(layer + part);
                    }
                }
                out.put(layer, parts);
            }
        });
        return out;
    }

    @Override
    public QuantizedMatrix read(Checkpoint c, String layer, Arena arena) {
        Tensor packed = c.tensor(layer + ".weight_packed");
        Tensor scales = c.tensor(layer + ".weight_scale");
        if (packed.shape().rank() != 2) {
            throw Layout.wrong(c, layer, "its weight_packed is " + TensorSpec.of(packed) + ", expected [N, K/2]");
        }
        long n = packed.dim(0);
        long k = Math.multiplyExact(packed.dim(1), 2L);
        boolean nvfp4 = c.has(layer + ".weight_global_scale");
        int block = nvfp4 ? Scheme.Nvfp4.BLOCK : Scheme.Mxfp4.BLOCK;
        boolean fits = nvfp4 ? scales.dtype() == DType.F8_E4M3 : scales.dtype() == DType.U8 || scales.dtype() == DType.F8_E8M0;
        if (!fits || !scales.shape().equals(Shape.of(n, Math.ceilDiv(k, (long) block)))) {
            throw Layout.wrong(c, layer, "its weight_scale is " + TensorSpec.of(scales) + ", expected " + (nvfp4 ? "F8_E4M3" : "U8") + " ["
                    + n + ", " + Math.ceilDiv(k, (long) block) + "]");
        }
        if (!nvfp4) {
            return QuantizedMatrix.mxfp4(n, k, packed, new Tensor(DType.F8_E8M0, scales.shape(), scales.data()));
        }
        Tensor global = c.tensor(layer + ".weight_global_scale");
        if (global.dtype() != DType.F32 || global.elements() != 1) {
            throw Layout.wrong(c, layer, "its weight_global_scale is " + TensorSpec.of(global) + ", expected F32 [1]");
        }
        return QuantizedMatrix.nvfp4Divided(n, k, packed, scales, global.getFloat(0));
    }

    @Override
    public String refusal(Scheme scheme, long n, long k) {
        int block = scheme instanceof Scheme.Nvfp4 ? Scheme.Nvfp4.BLOCK : scheme instanceof Scheme.Mxfp4 ? Scheme.Mxfp4.BLOCK : 0;
        if (block == 0) {
            return "its packed FP4 formats hold MXFP4 and NVFP4 only";
        }
        return k % block == 0 ? null : "K = " + k + " is no multiple of " + block + ", which the format demands; --exclude the layer or take another scheme";
    }

    /** The tensor scale as a divisor: block factors move by at most a rounding. */
    @Override
    public QuantizedMatrix fit(QuantizedMatrix m) {
        if (!(m.scheme() instanceof Scheme.Nvfp4) || !Float.isNaN(m.tensorDivisor())) {
            return m;
        }
        return QuantizedMatrix.nvfp4Divided(m.n(), m.k(), m.codes(), m.scales(), Math.min(1f / m.tensorScale(), Float.MAX_VALUE));
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, Scheme scheme, long n, long k, DType dtype) {
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        out.put(layer + ".weight_packed", TensorSpec.of(DType.U8, n, k / 2));
        if (scheme instanceof Scheme.Nvfp4) {
            out.put(layer + ".weight_scale", TensorSpec.of(DType.F8_E4M3, n, k / Scheme.Nvfp4.BLOCK));
            out.put(layer + ".weight_global_scale", TensorSpec.of(DType.F32, 1));
        } else {
            out.put(layer + ".weight_scale", TensorSpec.of(DType.U8, n, k / Scheme.Mxfp4.BLOCK));
        }
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, DType dtype, Arena arena) {
        require(m);
        Map<String, Tensor> out = new LinkedHashMap<>();
        out.put(layer + ".weight_packed", m.codes());
        if (m.scheme() instanceof Scheme.Nvfp4) {
            if (Float.isNaN(m.tensorDivisor())) {
                throw new IllegalArgumentException("layout " + name() + ", " + m + ": it stores a divisor, the matrix has a multiplier; fit() the matrix first");
            }
            out.put(layer + ".weight_scale", m.scales());
            out.put(layer + ".weight_global_scale", Tensor.ofFloats(arena, new float[] {m.tensorDivisor()}, 1));
        } else {
            out.put(layer + ".weight_scale", new Tensor(DType.U8, m.scales().shape(), m.scales().data()));
        }
        return out;
    }

    @Override
    public Map<String, Object> config(Scheme scheme, DType dtype, List<String> skipped) {
        boolean nvfp4 = scheme instanceof Scheme.Nvfp4;
        Map<String, Object> weights = new LinkedHashMap<>();
        weights.put("num_bits", 4);
        weights.put("type", "float");
        weights.put("symmetric", true);
        weights.put("strategy", nvfp4 ? "tensor_group" : "group");
        weights.put("group_size", nvfp4 ? Scheme.Nvfp4.BLOCK : Scheme.Mxfp4.BLOCK);
        return PackQuantizedLayout.compressedTensors(nvfp4 ? "nvfp4-pack-quantized" : "mxfp4-pack-quantized", weights, skipped);
    }
}
