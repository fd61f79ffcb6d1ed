package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
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
 * GGUF's block types: {@code LAYER.weight}, rows of blocks that hold codes and scales together. Q4_0 is INT4 with groups
 * of 32 and F16 scales, MXFP4 and NVFP4 are those schemes; what has no other scheme stays {@link Scheme.Ggml}. More than
 * two dimensions (experts) are read as one matrix of all their rows.
 */
final class GgufLayout implements Layout {
    @Override
    public String name() {
        return "gguf";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        c.ggufTypes().forEach((name, type) -> {
            if (type.dtype() == null && name.endsWith(".weight")) {
                out.put(name.substring(0, name.length() - ".weight".length()), List.of(name));
            }
        });
        return out;
    }

    @Override
    public QuantizedMatrix read(Checkpoint c, String layer, Arena arena) {
        String name = layer + ".weight";
        GgufType type = c.ggufTypes().get(name);
        Tensor t = c.tensor(name);
        if (type.scheme() == null) {
            throw new CheckpointException(Fault.UNSUPPORTED, c.path() + ": layer " + CheckpointException.quote(layer), "it is stored as " + type.label()
                    + ", which Lowbit does not read", "quantize the model as q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0, iq4_nl, iq4_xs, mxfp4 or nvfp4");
        }
        if (t.shape().rank() < 2) {
            throw Layout.wrong(c, layer, "its weight has " + t.shape().rank() + " dimension, expected [N, K]");
        }
        long rowBytes = t.dim(t.shape().rank() - 1);
        long n = rowBytes == 0 ? t.dim(t.shape().rank() - 2) : t.data().byteSize() / rowBytes;
        long k = rowBytes / type.bytes() * type.elements();
        Tensor rows = t.reshape(n, rowBytes);
        return switch (type.scheme()) {
            case Scheme.Int4 s -> QuantizedMatrix.int4(s, n, k, GgufBlocks.nibbles(rows, type, arena), GgufBlocks.halves(rows, type, arena), null);
            case Scheme.Mxfp4 _ -> QuantizedMatrix.mxfp4(n, k, GgufBlocks.nibbles(rows, type, arena), GgufBlocks.scaleBytes(rows, type, DType.F8_E8M0, arena));
            case Scheme.Nvfp4 _ -> QuantizedMatrix.nvfp4(n, k, GgufBlocks.nibbles(rows, type, arena), nvfp4Scales(c, layer, rows, arena), 1f);
            case Scheme.Ggml s -> QuantizedMatrix.ggml(s, n, k, rows);
            default -> throw new AssertionError(type);
        };
    }

    @Override
    public LayerInfo describe(Checkpoint c, String layer) {
        GgufType type = c.ggufTypes().get(layer + ".weight");
        Shape shape = c.tensor(layer + ".weight").shape();
        if (type.scheme() == null || shape.rank() < 2 || shape.elements() == 0) {
            return Layout.super.describe(c, layer); // says what is wrong
        }
        long k = shape.dim(shape.rank() - 1) / type.bytes() * type.elements();
        long n = shape.elements() / shape.dim(shape.rank() - 1);
        return new LayerInfo(type.scheme(), n, k, DType.BF16, n / shape.dim(shape.rank() - 2), false);
    }

    /** ggml drops the sign of NVFP4's scales and takes 0x7f for 0: such codes are no E4M3 that means the same. */
    private static Tensor nvfp4Scales(Checkpoint c, String layer, Tensor rows, Arena arena) {
        Tensor scales = GgufBlocks.scaleBytes(rows, GgufType.NVFP4, DType.F8_E4M3, arena);
        for (long i = 0; i < scales.elements(); i++) {
            if (scales.getByte(i) >= 0x7f) {
                throw Layout.wrong(c, layer, String.format("its scale %d is 0x%02x, which is no positive number", i, scales.getByte(i)));
            }
        }
        return scales;
    }

    @Override
    public String refusal(LayerInfo info) {
        Scheme scheme = info.scheme();
        long k = info.k();
        GgufType type = GgufType.of(scheme);
        if (info.actOrder()) {
            return "it has no place for act-order";
        }
        if (type == null) {
            return "GGUF has no type for " + scheme.label() + "; it holds int4 sym g32 (as q4_0), mxfp4, nvfp4 and ggml's blocks";
        }
        return k % type.elements() == 0 ? null : "K = " + k + " is no multiple of " + type.elements() + ", which " + type.label()
                + " demands; --exclude the layer or take another scheme";
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        long k = info.k();
        GgufType type = GgufType.of(info.scheme());
        return Map.of(layer + ".weight", new TensorSpec(DType.U8, info.stacked(k / type.elements() * type.bytes())));
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        GgufType type = GgufType.of(m.scheme());
        if (m.scheme() instanceof Scheme.Ggml) {
            return Map.of(layer + ".weight", m.codes().reshape(info.stacked(m.codes().dim(1)).dims()));
        }
        if (m.scheme() instanceof Scheme.Nvfp4 && m.tensorScale() != 1f) {
            throw new IllegalArgumentException("layout " + name() + ", " + m + ": GGUF's nvfp4 has no scale of the matrix, this one has "
                    + m.tensorScale());
        }
        Tensor rows = GgufBlocks.blocks(m, type, arena);
        return Map.of(layer + ".weight", rows.reshape(info.stacked(rows.dim(1)).dims()));
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        return Map.of("quant_method", "gguf");
    }
}
