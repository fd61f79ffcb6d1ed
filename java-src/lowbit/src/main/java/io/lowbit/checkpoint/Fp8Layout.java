package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
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
 * FP8: {@code weight} F8_E4M3 or F8_E5M2 {@code [N, K]} with {@code weight_scale}, a scalar, {@code [N, 1]} or a grid of
 * blocks, or DeepSeek's {@code weight_scale_inv}, such a grid. All multiply, in spite of the last name. Scales are F32, F16,
 * BF16 or powers of two in F8_E8M0 (DeepSeek's {@code ue8m0}); the latter for every 32 of a row are MXFP8.
 *
 * <p>The same tensors are compressed-tensors' {@code float-quantized}; the configuration tells which it is.
 */
final class Fp8Layout implements Layout {
    private static final int BLOCK = 128;

    private final boolean compressed;

    /** @param compressed compressed-tensors' {@code float-quantized} */
    Fp8Layout(boolean compressed) {
        this.compressed = compressed;
    }

    @Override
    public String name() {
        return compressed ? "compressed-tensors" : "fp8";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        if (compressed != CompressedTensors.configures(c)) {
            return out;
        }
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
        Scheme.Fp8Format format = codes.dtype() == DType.F8_E4M3 ? Scheme.Fp8Format.E4M3 : Scheme.Fp8Format.E5M2;
        if (mx(c, scales, n, k, blocks)) {
            return QuantizedMatrix.mxfp8(new Scheme.Mxfp8(format), n, k, codes, scales);
        }
        Grouping grouping = grouping(c, layer, scales, n, k, blocks);
        long rows = grouping.scaleRows(n);
        long cols = grouping.scaleCols(k);
        boolean flat = scales.shape().rank() == 1 && grouping == Grouping.CHANNEL;
        if (grouping != Grouping.TENSOR && !flat && !scales.shape().equals(Shape.of(rows, cols))) {
            throw Layout.wrong(c, layer, "its scales are " + TensorSpec.of(scales) + ", expected [" + rows + ", " + cols + "]");
        }
        return QuantizedMatrix.fp8(new Scheme.Fp8(format, grouping), n, k, codes, widen(c, layer, scales, arena).reshape(rows, cols));
    }

    /** A power of two for every 32 of a row, as the configuration says or, in a file without one, the scales' own shape. */
    private static boolean mx(Checkpoint c, Tensor scales, long n, long k, boolean blocks) {
        if (!blocks || scales.dtype() != DType.F8_E8M0 || !scales.shape().equals(Shape.of(n, Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK)))) {
            return false;
        }
        boolean told = c.quantizationConfig().map(o -> o.has("weight_block_size")).orElse(false);
        long[] block = blockSize(c);
        return !told || block[0] == 1 && block[1] == Scheme.Mxfp8.BLOCK;
    }

    private static Grouping grouping(Checkpoint c, String layer, Tensor scales, long n, long k, boolean inverse) {
        if (!inverse && scales.elements() == 1) {
            return Grouping.TENSOR;
        }
        boolean rows = scales.shape().equals(Shape.of(n)) || scales.shape().equals(Shape.of(n, 1));
        long[] block = blockSize(c);
        return !inverse && (rows || scales.shape().rank() != 2) ? Grouping.CHANNEL : Grouping.block((int) block[0], (int) block[1]);
    }

    /** Rows and columns of a block, as {@code weight_block_size} or compressed-tensors' {@code block_structure} says; else 128. */
    private static long[] blockSize(Checkpoint c) {
        try {
            JsonObject config = c.quantizationConfig().orElse(null);
            long[] size = {BLOCK, BLOCK};
            if (config != null && config.has("weight_block_size")) {
                size = config.integers("weight_block_size");
            }
            if (size.length != 2 || size[0] < 1 || size[1] < 1 || size[0] > 1 << 20 || size[1] > 1 << 20) {
                throw new JsonException("weight_block_size " + java.util.Arrays.toString(size) + ", expected two sizes");
            }
            return size;
        } catch (JsonException e) {
            throw new CheckpointException(CheckpointException.Fault.LAYOUT, c.path().toString(), "quantization_config: " + e.getMessage(), "repair the configuration", e);
        }
    }

    @Override
    public LayerInfo describe(Checkpoint c, String layer) {
        try (Arena arena = Arena.ofShared()) {
            Tensor scales = c.tensor(layer + (c.has(layer + ".weight_scale_inv") ? ".weight_scale_inv" : ".weight_scale"));
            return LayerInfo.of(read(c, layer, arena), scales.dtype().isFloat() && scales.dtype() != DType.F64 ? scales.dtype() : DType.BF16);
        }
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
    public String refusal(LayerInfo info) {
        if (info.scheme() instanceof Scheme.Mxfp8 && !compressed) {
            return null;
        }
        if (!(info.scheme() instanceof Scheme.Fp8 s)) {
            return compressed ? "it holds FP8 only" : "it holds FP8 and MXFP8 only";
        }
        if (compressed && s.format() != Scheme.Fp8Format.E4M3) {
            return "its float-quantized format is E4M3";
        }
        return s.grouping() instanceof Grouping.PerBlock b && (b.rows() != BLOCK || b.cols() != BLOCK) ? "its blocks are 128x128; use --group block128" : null;
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        long n = info.n();
        long k = info.k();
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        if (info.scheme() instanceof Scheme.Mxfp8 mx) {
            out.put(layer + ".weight", TensorSpec.of(mx.format().dtype(), n, k));
            out.put(layer + ".weight_scale_inv", TensorSpec.of(DType.F8_E8M0, n, Math.ceilDiv(k, (long) Scheme.Mxfp8.BLOCK)));
            return out;
        }
        Scheme.Fp8 s = (Scheme.Fp8) info.scheme();
        out.put(layer + ".weight", TensorSpec.of(s.format().dtype(), n, k));
        boolean blocks = s.grouping() instanceof Grouping.PerBlock && !compressed;
        Shape shape = s.grouping() == Grouping.TENSOR ? Shape.of(1) : Shape.of(s.grouping().scaleRows(n), s.grouping().scaleCols(k));
        out.put(layer + (blocks ? ".weight_scale_inv" : ".weight_scale"), new TensorSpec(DType.F32, shape));
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        Map<String, Tensor> out = new LinkedHashMap<>();
        specs(layer, info.with(m)).forEach((name, spec) ->
                out.put(name, name.endsWith(".weight") ? m.codes() : m.scales().reshape(spec.shape().dims())));
        return out;
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        if (compressed) {
            return CompressedTensors.config("float-quantized", layers, skipped);
        }
        Scheme scheme = uniform(layers).scheme();
        Scheme.Fp8Format format = scheme instanceof Scheme.Mxfp8 mx ? mx.format() : ((Scheme.Fp8) scheme).format();
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("quant_method", "fp8");
        out.put("fmt", format == Scheme.Fp8Format.E4M3 ? "e4m3" : "e5m2");
        out.put("activation_scheme", "dynamic");
        if (scheme instanceof Scheme.Mxfp8) {
            out.put("weight_block_size", List.of(1, Scheme.Mxfp8.BLOCK));
            out.put("scale_fmt", "ue8m0");
        } else if (((Scheme.Fp8) scheme).grouping() instanceof Grouping.PerBlock) {
            out.put("weight_block_size", List.of(BLOCK, BLOCK));
        }
        out.put("ignored_layers", skipped);
        return out;
    }
}
