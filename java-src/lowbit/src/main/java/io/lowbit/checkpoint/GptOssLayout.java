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
 * gpt-oss's MXFP4: {@code LAYER_blocks} U8 {@code [E, N, G, 16]}, byte i of a block holding elements 2i (low) and 2i + 1,
 * and {@code LAYER_scales} U8 {@code [E, N, G]}, E8M0. The experts lie one after another in one matrix.
 */
final class GptOssLayout implements Layout {
    private static final int BLOCK_BYTES = Scheme.Mxfp4.BLOCK / 2;

    @Override
    public String name() {
        return "gpt-oss";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        for (String name : c.names()) {
            String layer = name.endsWith("_blocks") ? name.substring(0, name.length() - "_blocks".length()) : null;
            if (layer != null && c.has(layer + "_scales") && c.tensor(name).dtype() == DType.U8) {
                out.put(layer, List.of(name, layer + "_scales"));
            }
        }
        return out;
    }

    @Override
    public LayerInfo describe(Checkpoint c, String layer) {
        Tensor blocks = c.tensor(layer + "_blocks");
        Shape scales = c.tensor(layer + "_scales").shape();
        int rank = scales.rank();
        long[] expected = java.util.Arrays.copyOf(scales.dims(), rank + 1);
        expected[rank] = BLOCK_BYTES;
        if (c.tensor(layer + "_scales").dtype() != DType.U8 || rank != 2 && rank != 3 || !blocks.shape().equals(Shape.of(expected))) {
            throw Layout.wrong(c, layer, "its blocks are " + TensorSpec.of(blocks) + " and its scales " + TensorSpec.of(c.tensor(layer + "_scales"))
                    + ", expected U8 [E, N, G, " + BLOCK_BYTES + "] and [E, N, G]");
        }
        long experts = rank == 3 ? scales.dim(0) : 1;
        return new LayerInfo(new Scheme.Mxfp4(), experts * scales.dim(rank - 2), scales.dim(rank - 1) * Scheme.Mxfp4.BLOCK, DType.BF16, Math.max(1, experts), false);
    }

    @Override
    public QuantizedMatrix read(Checkpoint c, String layer, Arena arena) {
        LayerInfo info = describe(c, layer);
        Tensor scales = c.tensor(layer + "_scales");
        return QuantizedMatrix.mxfp4(info.n(), info.k(), c.tensor(layer + "_blocks").reshape(info.n(), info.k() / 2),
                new Tensor(DType.F8_E8M0, Shape.of(info.n(), info.k() / Scheme.Mxfp4.BLOCK), scales.data()));
    }

    @Override
    public String refusal(LayerInfo info) {
        if (!(info.scheme() instanceof Scheme.Mxfp4)) {
            return "it holds MXFP4 only";
        }
        return info.k() % Scheme.Mxfp4.BLOCK == 0 ? null : "K = " + info.k() + " is no multiple of " + Scheme.Mxfp4.BLOCK
                + ", which the format demands; --exclude the layer or take another scheme";
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        Shape scales = info.stacked(info.k() / Scheme.Mxfp4.BLOCK);
        long[] blocks = java.util.Arrays.copyOf(scales.dims(), scales.rank() + 1);
        blocks[scales.rank()] = BLOCK_BYTES;
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        out.put(layer + "_blocks", TensorSpec.of(DType.U8, blocks));
        out.put(layer + "_scales", new TensorSpec(DType.U8, scales));
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        Map<String, Tensor> out = new LinkedHashMap<>();
        specs(layer, info.with(m)).forEach((name, spec) ->
                out.put(name, new Tensor(DType.U8, spec.shape(), (name.endsWith("_blocks") ? m.codes() : m.scales()).data())));
        return out;
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("quant_method", "mxfp4");
        out.put("modules_to_not_convert", skipped);
        return out;
    }
}
