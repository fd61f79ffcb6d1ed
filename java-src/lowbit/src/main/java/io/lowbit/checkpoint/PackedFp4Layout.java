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
        int rank = packed.shape().rank();
        if (rank != 2 && rank != 3) {
            throw Layout.wrong(c, layer, "its weight_packed is " + TensorSpec.of(packed) + ", expected [N, K/2]");
        }
        long experts = rank == 3 ? packed.dim(0) : 1;
        long n = experts * packed.dim(rank - 2);
        long k = Math.multiplyExact(packed.dim(rank - 1), 2L);
        boolean nvfp4 = c.has(layer + ".weight_global_scale");
        int block = nvfp4 ? Scheme.Nvfp4.BLOCK : Scheme.Mxfp4.BLOCK;
        long[] grid = packed.shape().dims();
        grid[rank - 1] = Math.ceilDiv(k, (long) block);
        boolean fits = nvfp4 ? scales.dtype() == DType.F8_E4M3 : scales.dtype() == DType.U8 || scales.dtype() == DType.F8_E8M0;
        if (!fits || !scales.shape().equals(Shape.of(grid))) {
            throw Layout.wrong(c, layer, "its weight_scale is " + TensorSpec.of(scales) + ", expected " + (nvfp4 ? "F8_E4M3" : "U8") + " ["
                    + n + ", " + Math.ceilDiv(k, (long) block) + "]");
        }
        if (!nvfp4) {
            return QuantizedMatrix.mxfp4(n, k, packed.reshape(n, k / 2), new Tensor(DType.F8_E8M0, Shape.of(n, grid[rank - 1]), scales.data()));
        }
        Tensor global = c.tensor(layer + ".weight_global_scale");
        if (global.dtype() != DType.F32 || global.elements() != 1) {
            throw Layout.wrong(c, layer, "its weight_global_scale is " + TensorSpec.of(global) + ", expected F32 [1]");
        }
        return QuantizedMatrix.nvfp4Divided(n, k, packed.reshape(n, k / 2), scales.reshape(n, grid[rank - 1]), global.getFloat(0));
    }

    @Override
    public LayerInfo describe(Checkpoint c, String layer) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = read(c, layer, arena);
            Tensor packed = c.tensor(layer + ".weight_packed");
            return new LayerInfo(m.scheme(), m.n(), m.k(), DType.BF16, packed.shape().rank() == 3 ? Math.max(1, packed.dim(0)) : 1, false);
        }
    }

    @Override
    public String refusal(LayerInfo info) {
        Scheme scheme = info.scheme();
        long k = info.k();
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
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        Scheme scheme = info.scheme();
        long k = info.k();
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        out.put(layer + ".weight_packed", new TensorSpec(DType.U8, info.stacked(k / 2)));
        if (scheme instanceof Scheme.Nvfp4) {
            out.put(layer + ".weight_scale", new TensorSpec(DType.F8_E4M3, info.stacked(k / Scheme.Nvfp4.BLOCK)));
            out.put(layer + ".weight_global_scale", TensorSpec.of(DType.F32, 1));
        } else {
            out.put(layer + ".weight_scale", new TensorSpec(DType.U8, info.stacked(k / Scheme.Mxfp4.BLOCK)));
        }
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        Map<String, Tensor> out = new LinkedHashMap<>();
        out.put(layer + ".weight_packed", m.codes().reshape(info.stacked(m.k() / 2).dims()));
        if (m.scheme() instanceof Scheme.Nvfp4) {
            if (Float.isNaN(m.tensorDivisor())) {
                throw new IllegalArgumentException("layout " + name() + ", " + m + ": it stores a divisor, the matrix has a multiplier; fit() the matrix first");
            }
            out.put(layer + ".weight_scale", m.scales().reshape(info.stacked(m.scales().dim(1)).dims()));
            out.put(layer + ".weight_global_scale", Tensor.ofFloats(arena, new float[] {m.tensorDivisor()}, 1));
        } else {
            out.put(layer + ".weight_scale", new Tensor(DType.U8, info.stacked(m.scales().dim(1)), m.scales().data()));
        }
        return out;
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        boolean nvfp4 = uniform(layers).scheme() instanceof Scheme.Nvfp4;
        return CompressedTensors.config(nvfp4 ? "nvfp4-pack-quantized" : "mxfp4-pack-quantized", layers, skipped);
    }
}
