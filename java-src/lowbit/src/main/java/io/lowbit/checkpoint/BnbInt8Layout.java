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
 * bitsandbytes 8-bit (LLM.int8): {@code X.weight} I8 {@code [N, K]}, {@code X.SCB} F32 {@code [N]}, the largest magnitude
 * of each row, {@code X.weight_format} U8, 0 for rows. w = code · SCB·(1/127): the scale is rounded once to f32.
 */
final class BnbInt8Layout implements Layout {
    /** As bitsandbytes has it: 1/127 as a float. */
    private static final float STEP = 7.874015718698502e-3f;

    @Override
    public String name() {
        return "bitsandbytes";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        for (String name : c.names()) {
            if (name.endsWith(".SCB")) {
                String layer = name.substring(0, name.length() - ".SCB".length());
                if (c.has(layer + ".weight")) {
                    out.put(layer, Layout.present(c, layer, ".weight", ".SCB", ".weight_format"));
                }
            }
        }
        return out;
    }

    @Override
    public QuantizedMatrix read(Checkpoint c, String layer, Arena arena) {
        Tensor codes = c.tensor(layer + ".weight");
        Tensor largest = c.tensor(layer + ".SCB");
        if (c.has(layer + ".weight_format")) {
            Tensor format = c.tensor(layer + ".weight_format");
            if (format.dtype() != DType.U8 || format.elements() != 1 || format.getByte(0) != 0) {
                throw new CheckpointException(Fault.UNSUPPORTED, c.path() + ": layer " + CheckpointException.quote(layer),
                        "its weight_format is not 0 (rows); the others are tiles of one GPU's", "save the model again with a current bitsandbytes");
            }
        }
        if (codes.dtype() != DType.I8 || codes.shape().rank() != 2 || largest.dtype() != DType.F32 || largest.elements() != codes.dim(0)) {
            throw Layout.wrong(c, layer, "its weight is " + TensorSpec.of(codes) + " and its SCB " + TensorSpec.of(largest) + ", expected I8 [N, K] and F32 [N]");
        }
        Tensor scales = Tensor.allocate(arena, DType.F32, codes.dim(0), 1);
        for (long i = 0; i < scales.elements(); i++) {
            scales.setFloat(i, largest.getFloat(i) * STEP);
        }
        return QuantizedMatrix.int8(codes.dim(0), codes.dim(1), codes, scales);
    }

    @Override
    public String refusal(LayerInfo info) {
        return info.scheme() instanceof Scheme.Int8 ? null : "its 8-bit form holds INT8 only";
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        out.put(layer + ".weight", TensorSpec.of(DType.I8, info.n(), info.k()));
        out.put(layer + ".SCB", TensorSpec.of(DType.F32, info.n()));
        out.put(layer + ".weight_format", new TensorSpec(DType.U8, Shape.of()));
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        Tensor largest = Tensor.allocate(arena, DType.F32, m.n());
        for (long i = 0; i < m.n(); i++) {
            largest.setFloat(i, largest(m.scales().getFloat(i)));
        }
        Map<String, Tensor> out = new LinkedHashMap<>();
        out.put(layer + ".weight", m.codes());
        out.put(layer + ".SCB", largest);
        out.put(layer + ".weight_format", Tensor.allocate(arena, DType.U8));
        return out;
    }

    /** A float whose product with 1/127 rounds to {@code scale}: the quotient or a neighbour of it. */
    private static float largest(float scale) {
        float guess = scale / STEP;
        for (float f : new float[] {guess, Math.nextDown(guess), Math.nextUp(guess)}) {
            if (f * STEP == scale) {
                return f;
            }
        }
        throw new IllegalArgumentException("no largest magnitude gives the row scale " + scale + "; the layer was not made by bitsandbytes");
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("quant_method", "bitsandbytes");
        out.put("load_in_4bit", false);
        out.put("load_in_8bit", true);
        out.put("llm_int8_skip_modules", skipped);
        out.put("llm_int8_threshold", 6.0);
        return out;
    }
}
