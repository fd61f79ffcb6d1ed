package io.lowbit.checkpoint;

import io.lowbit.format.E8M0;
import io.lowbit.quant.Grouping;
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
 * FP8: {@code weight} F8_E4M3 or F8_E5M2 {@code [N, K]} with {@code weight_scale}, {@code [1]} or {@code [N, 1]}, or
 * DeepSeek's {@code weight_scale_inv} {@code [ceil(N/128), ceil(K/128)]}. Both multiply, in spite of the second name.
 */
final class Fp8Layout implements Layout {
    private static final int BLOCK = 128;

    @Override
    public String name() {
        return "fp8";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        c.tensors().forEach((name, t) -> {
            if (name.endsWith(".weight") && (t.dtype() == DType.F8_E4M3 || t.dtype() == DType.F8_E5M2)) {
                String layer = name.substring(0, name.length() - ".weight".length());
                List<String> parts = new ArrayList<>();
                for (String part : List.of(".weight", ".weight_scale", ".weight_scale_inv", ".input_scale")) {
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
        Tensor codes = c.tensor(layer + ".weight");
        if (codes.shape().rank() != 2) {
            throw Layout.wrong(c, layer, "its weight is " + TensorSpec.of(codes) + ", expected [N, K]");
        }
        boolean blocks = c.has(layer + ".weight_scale_inv");
        if (blocks == c.has(layer + ".weight_scale")) {
            throw Layout.wrong(c, layer, blocks ? "it has both weight_scale and weight_scale_inv" : "it has neither weight_scale nor weight_scale_inv");
        }
        Tensor scales = c.tensor(layer + (blocks ? ".weight_scale_inv" : ".weight_scale"));
        long n = codes.dim(0);
        long k = codes.dim(1);
        Grouping grouping = blocks ? Grouping.block(BLOCK, BLOCK)
                : scales.elements() == 1 && scales.shape().rank() < 2 ? Grouping.TENSOR : Grouping.CHANNEL;
        long rows = grouping.scaleRows(n);
        long cols = grouping.scaleCols(k);
        boolean flat = scales.shape().equals(Shape.of(n)) && grouping == Grouping.CHANNEL;
        if (grouping != Grouping.TENSOR && !flat && !scales.shape().equals(Shape.of(rows, cols))) {
            throw Layout.wrong(c, layer, "its scales are " + TensorSpec.of(scales) + ", expected [" + rows + ", " + cols + "]");
        }
        Scheme.Fp8Format format = codes.dtype() == DType.F8_E4M3 ? Scheme.Fp8Format.E4M3 : Scheme.Fp8Format.E5M2;
        return QuantizedMatrix.fp8(new Scheme.Fp8(format, grouping), n, k, codes, widen(c, layer, scales, arena).reshape(rows, cols));
    }

    /** Scales as F32, which holds every other type exactly. */
    private static Tensor widen(Checkpoint c, String layer, Tensor scales, Arena arena) {
        if (scales.dtype() == DType.F32) {
            return scales;
        }
        if (scales.dtype() != DType.F16 && scales.dtype() != DType.BF16 && scales.dtype() != DType.F8_E8M0) {
            throw Layout.wrong(c, layer, "its scales are " + scales.dtype() + ", expected F32, F16, BF16 or F8_E8M0");
        }
        Tensor out = Tensor.allocate(arena, DType.F32, scales.shape().dims());
        for (long i = 0; i < out.elements(); i++) {
            out.setFloat(i, scales.dtype() == DType.F8_E8M0 ? E8M0.decode(scales.getByte(i)) : scales.getFloat(i));
        }
        return out;
    }

    @Override
    public String refusal(Scheme scheme, long n, long k) {
        if (!(scheme instanceof Scheme.Fp8 s)) {
            return "it holds FP8 only";
        }
        return s.grouping() instanceof Grouping.PerBlock b && (b.rows() != BLOCK || b.cols() != BLOCK) ? "its blocks are 128x128; use --group block128" : null;
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, Scheme scheme, long n, long k, DType dtype) {
        Scheme.Fp8 s = (Scheme.Fp8) scheme;
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        out.put(layer + ".weight", TensorSpec.of(s.format() == Scheme.Fp8Format.E4M3 ? DType.F8_E4M3 : DType.F8_E5M2, n, k));
        boolean blocks = s.grouping() instanceof Grouping.PerBlock;
        Shape shape = s.grouping() == Grouping.TENSOR ? Shape.of(1) : Shape.of(s.grouping().scaleRows(n), s.grouping().scaleCols(k));
        out.put(layer + (blocks ? ".weight_scale_inv" : ".weight_scale"), new TensorSpec(DType.F32, shape));
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, DType dtype, Arena arena) {
        require(m);
        Map<String, Tensor> out = new LinkedHashMap<>();
        specs(layer, m.scheme(), m.n(), m.k(), dtype).forEach((name, spec) ->
                out.put(name, name.endsWith(".weight") ? m.codes() : m.scales().reshape(spec.shape().dims())));
        return out;
    }

    @Override
    public Map<String, Object> config(Scheme scheme, DType dtype, List<String> skipped) {
        Scheme.Fp8 s = (Scheme.Fp8) scheme;
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("quant_method", "fp8");
        out.put("fmt", s.format() == Scheme.Fp8Format.E4M3 ? "e4m3" : "e5m2");
        out.put("activation_scheme", "dynamic");
        if (s.grouping() instanceof Grouping.PerBlock) {
            out.put("weight_block_size", List.of(BLOCK, BLOCK));
        }
        out.put("ignored_layers", skipped);
        return out;
    }
}
