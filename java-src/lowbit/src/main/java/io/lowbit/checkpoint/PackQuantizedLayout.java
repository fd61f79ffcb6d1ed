package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonValue;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * compressed-tensors {@code pack-quantized}, 4 bits: {@code weight_packed} I32 {@code [N, ceil(K/8)]}, low nibble
 * first, {@code weight_scale} {@code [N, G]}, {@code [N, 1]} or {@code [1]}, {@code weight_zero_point} I32
 * {@code [ceil(N/8), G]} packed along N, {@code weight_shape}. Stored nibbles are q + 8: the canonical unsigned codes.
 */
final class PackQuantizedLayout implements Layout {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    @Override
    public String name() {
        return "compressed-tensors";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        c.tensors().forEach((name, t) -> {
            if (name.endsWith(".weight_packed") && t.dtype() == DType.I32) {
                String layer = name.substring(0, name.length() - ".weight_packed".length());
                List<String> parts = new ArrayList<>();
                for (String part : List.of(".weight_packed", ".weight_scale", ".weight_zero_point", ".weight_shape", ".weight_g_idx")) {
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
        Tensor shape = c.tensor(layer + ".weight_shape");
        if (shape.elements() != 2 || (shape.dtype() != DType.I32 && shape.dtype() != DType.I64)) {
            throw Layout.wrong(c, layer, "its weight_shape is " + TensorSpec.of(shape) + ", expected I64 [2]");
        }
        boolean wide = shape.dtype() == DType.I64;
        long n = wide ? shape.data().get(LONG, 0) : shape.getInt(0);
        long k = wide ? shape.data().get(LONG, 8) : shape.getInt(1);
        Tensor packed = c.tensor(layer + ".weight_packed");
        if (n < 0 || k < 0 || !packed.shape().equals(Shape.of(n, Math.ceilDiv(k, 8L)))) {
            throw Layout.wrong(c, layer, "its weight_packed is " + TensorSpec.of(packed) + ", its weight_shape [" + n + ", " + k + "]");
        }
        Tensor scales = c.tensor(layer + ".weight_scale");
        Tensor zeros = c.has(layer + ".weight_zero_point") ? c.tensor(layer + ".weight_zero_point") : null;
        Tensor index = scales.shape().rank() == 2 ? GroupSizes.index(c, layer, layer + ".weight_g_idx", k, scales.dim(1)) : null;
        Grouping grouping = grouping(c, layer, scales, n, k, index);
        Scheme.Int4 scheme = new Scheme.Int4(grouping, zeros == null, scales.dtype());
        Tensor grid = scales.reshape(grouping.scaleRows(n), grouping.scaleCols(k));
        return QuantizedMatrix.int4(scheme, n, k, codes(packed, n, k, arena), grid, zeros == null ? null : zeros(c, layer, zeros, n, grid.dim(1), arena), index);
    }

    private static Grouping grouping(Checkpoint c, String layer, Tensor scales, long n, long k, Tensor index) {
        if (scales.shape().equals(Shape.of(1)) || scales.shape().rank() == 0) {
            return Grouping.TENSOR;
        }
        if (scales.shape().rank() != 2 || scales.dim(0) != n || scales.dim(1) < 1) {
            throw Layout.wrong(c, layer, "its weight_scale is " + TensorSpec.of(scales) + ", expected [1] or [" + n + ", groups]");
        }
        return GroupSizes.of(c, layer, k, scales.dim(1), configured(c), index);
    }

    private static List<Long> configured(Checkpoint c) {
        List<Long> out = new ArrayList<>();
        try {
            JsonObject config = c.quantizationConfig().orElse(null);
            if (config != null && config.has("config_groups")) {
                for (JsonValue group : config.object("config_groups").members().values()) {
                    if (group instanceof JsonObject o && o.has("weights") && o.object("weights").has("group_size")) {
                        out.add(o.object("weights").integer("group_size"));
                    }
                }
            }
        } catch (JsonException e) {
            throw new CheckpointException(CheckpointException.Fault.LAYOUT, c.path().toString(), "quantization_config: " + e.getMessage(), "repair the configuration", e);
        }
        return out;
    }

    private static Tensor codes(Tensor packed, long n, long k, Arena arena) {
        if (k % 8 == 0) {
            return new Tensor(DType.U8, Shape.of(n, k / 2), packed.data());
        }
        long from = Math.ceilDiv(k, 8L) * 4;
        long to = Math.ceilDiv(k, 2L);
        Tensor out = Tensor.allocate(arena, DType.U8, n, to);
        for (long r = 0; r < n; r++) {
            MemorySegment.copy(packed.data(), r * from, out.data(), r * to, to);
            if ((k & 1) == 1) {
                long last = r * to + to - 1;
                out.data().set(ValueLayout.JAVA_BYTE, last, (byte) (out.getByte(last) & 15));
            }
        }
        return out;
    }

    private static Tensor zeros(Checkpoint c, String layer, Tensor words, long n, long groups, Arena arena) {
        if (words.dtype() != DType.I32 || !words.shape().equals(Shape.of(Math.ceilDiv(n, 8L), groups))) {
            throw Layout.wrong(c, layer, "its weight_zero_point is " + TensorSpec.of(words) + ", expected I32 [" + Math.ceilDiv(n, 8L) + ", " + groups + "]");
        }
        long rowBytes = Math.ceilDiv(groups, 2L);
        Tensor out = Tensor.allocate(arena, DType.U8, n, rowBytes);
        for (long r = 0; r < n; r++) {
            for (long g = 0; g < groups; g++) {
                int zero = words.getInt((r >>> 3) * groups + g) >>> (4 * (int) (r & 7)) & 15;
                long at = r * rowBytes + (g >>> 1);
                out.data().set(ValueLayout.JAVA_BYTE, at, (byte) (out.getByte(at) | zero << (4 * (int) (g & 1))));
            }
        }
        return out;
    }

    @Override
    public String refusal(LayerInfo info) {
        Scheme scheme = info.scheme();
        long n = info.n();
        long k = info.k();
        if (!(scheme instanceof Scheme.Int4 s)) {
            return "its pack-quantized format holds INT4 only";
        }
        return s.grouping() == Grouping.TENSOR && !s.symmetric() ? "it has no packed zero point for a whole tensor; use --group channel or a number" : null;
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        Scheme scheme = info.scheme();
        long n = info.n();
        long k = info.k();
        Scheme.Int4 s = (Scheme.Int4) scheme;
        long groups = s.grouping().scaleCols(k);
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        out.put(layer + ".weight_packed", TensorSpec.of(DType.I32, n, Math.ceilDiv(k, 8L)));
        out.put(layer + ".weight_scale", new TensorSpec(s.scaleType(), s.grouping() == Grouping.TENSOR ? Shape.of(1) : Shape.of(n, groups)));
        if (!s.symmetric()) {
            out.put(layer + ".weight_zero_point", TensorSpec.of(DType.I32, Math.ceilDiv(n, 8L), groups));
        }
        out.put(layer + ".weight_shape", TensorSpec.of(DType.I64, 2));
        if (info.actOrder()) {
            out.put(layer + ".weight_g_idx", TensorSpec.of(DType.I32, k));
        }
        return out;
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        Map<String, TensorSpec> specs = specs(layer, info.with(m));
        Map<String, Tensor> out = new LinkedHashMap<>();
        specs.forEach((name, spec) -> {
            String part = name.substring(layer.length());
            out.put(name, switch (part) {
                case ".weight_packed" -> packed(m, spec, arena);
                case ".weight_scale" -> m.scales().reshape(spec.shape().dims());
                case ".weight_zero_point" -> zeroWords(m, spec, arena);
                case ".weight_g_idx" -> m.groups();
                default -> {
                    Tensor shape = Tensor.allocate(arena, DType.I64, 2);
                    shape.data().set(LONG, 0, m.n());
                    shape.data().set(LONG, 8, m.k());
                    yield shape;
                }
            });
        });
        return out;
    }

    private static Tensor packed(QuantizedMatrix m, TensorSpec spec, Arena arena) {
        if (m.k() % 8 == 0) {
            return new Tensor(DType.I32, spec.shape(), m.codes().data());
        }
        Tensor out = Tensor.allocate(arena, DType.I32, spec.shape().dims());
        long from = Math.ceilDiv(m.k(), 2L);
        long to = Math.ceilDiv(m.k(), 8L) * 4;
        for (long r = 0; r < m.n(); r++) {
            MemorySegment.copy(m.codes().data(), r * from, out.data(), r * to, from);
        }
        return out;
    }

    private static Tensor zeroWords(QuantizedMatrix m, TensorSpec spec, Arena arena) {
        Tensor out = Tensor.allocate(arena, DType.I32, spec.shape().dims());
        long groups = spec.shape().dim(1);
        long rowBytes = Math.ceilDiv(groups, 2L);
        for (long r = 0; r < m.n(); r++) {
            for (long g = 0; g < groups; g++) {
                int zero = m.zeros().getByte(r * rowBytes + (g >>> 1)) >>> (4 * (int) (g & 1)) & 15;
                long at = ((r >>> 3) * groups + g) * 4;
                out.data().set(INT, at, out.data().get(INT, at) | zero << (4 * (int) (r & 7)));
            }
        }
        return out;
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        return CompressedTensors.config("pack-quantized", layers, skipped);
    }
}
