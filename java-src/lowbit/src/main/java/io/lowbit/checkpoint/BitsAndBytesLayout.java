package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonWriter;
import io.lowbit.format.BnbFp4;
import io.lowbit.format.Nf4;
import io.lowbit.quant.NestedScales;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * bitsandbytes 4-bit: {@code X.weight} U8 {@code [ceil(n/2), 1]} (or any type of as many bytes), {@code .absmax},
 * {@code .quant_map}, with double quantization {@code .nested_absmax} and {@code .nested_quant_map}, and the state as
 * JSON in {@code .quant_state.bitsandbytes__nf4} or {@code __fp4}.
 */
final class BitsAndBytesLayout implements Layout {
    private static final String STATE = ".weight.quant_state.bitsandbytes__";
    private static final Set<String> KEYS = Set.of("quant_type", "blocksize", "dtype", "shape", "nested_blocksize", "nested_dtype", "nested_offset");
    private static final Map<String, DType> DTYPES = Map.of("float32", DType.F32, "float16", DType.F16, "bfloat16", DType.BF16);

    @Override
    public String name() {
        return "bitsandbytes";
    }

    @Override
    public Map<String, List<String>> find(Checkpoint c) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        for (String name : c.names()) {
            int at = name.indexOf(STATE);
            if (at > 0) {
                String layer = name.substring(0, at);
                List<String> parts = new ArrayList<>(List.of(name));
                for (String part : List.of("", ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")) {
                    if (c.has(layer + ".weight" + part)) {
                        parts.add(layer + ".weight" + part);
                    }
                }
                if (out.put(layer, parts) != null) {
                    throw Layout.wrong(c, layer, "has two quantization states");
                }
            }
        }
        return out;
    }

    private record State(Scheme.Bnb4 scheme, DType dtype, long n, long k, float offset) {}

    @Override
    public QuantizedMatrix read(Checkpoint c, String layer, Arena arena) {
        State state = state(c, layer);
        String x = layer + ".weight";
        long n = Math.multiplyExact(state.n, state.k);
        Tensor packed = c.tensor(x);
        if (packed.data().byteSize() != Math.ceilDiv(n, 2L)) {
            throw Layout.wrong(c, layer, "its weight has " + packed.data().byteSize() + " bytes, [" + state.n + ", " + state.k + "] takes " + Math.ceilDiv(n, 2L));
        }
        Tensor codes = new Tensor(DType.U8, io.lowbit.tensor.Shape.of(packed.data().byteSize()), packed.data());
        checkTable(c, layer, c.tensor(x + ".quant_map"), state.scheme.codebook());
        long blocks = Math.ceilDiv(n, (long) state.scheme.blockSize());
        Tensor absmax = part(c, layer, ".absmax", state.scheme.doubleQuant() ? DType.U8 : DType.F32, blocks);
        if (!state.scheme.doubleQuant()) {
            return QuantizedMatrix.bnb4(state.scheme, state.n, state.k, codes, absmax);
        }
        Tensor map = part(c, layer, ".nested_quant_map", DType.F32, 256);
        float last = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < 256; i++) {
            float v = map.getFloat(i);
            if (!Float.isFinite(v) || v <= last) {
                throw Layout.wrong(c, layer, "its nested_quant_map is not finite and ascending at entry " + i);
            }
            last = v;
        }
        Tensor nested = part(c, layer, ".nested_absmax", DType.F32, Math.ceilDiv(blocks, (long) NestedScales.BLOCK));
        return QuantizedMatrix.bnb4(state.scheme, state.n, state.k, codes, new NestedScales(absmax, nested, map, state.offset));
    }

    @Override
    public LayerInfo describe(Checkpoint c, String layer) {
        State state = state(c, layer);
        return new LayerInfo(state.scheme, state.n, state.k, state.dtype);
    }

    private static Tensor part(Checkpoint c, String layer, String suffix, DType dtype, long elements) {
        Tensor t = c.tensor(layer + ".weight" + suffix);
        if (t.dtype() != dtype || t.elements() != elements || t.shape().rank() != 1) {
            throw Layout.wrong(c, layer, "its " + suffix.substring(1) + " is " + TensorSpec.of(t) + ", expected " + dtype + " [" + elements + "]");
        }
        return t;
    }

    private static State state(Checkpoint c, String layer) {
        String kind = c.has(layer + STATE + "nf4") ? "nf4" : "fp4";
        Tensor text = c.tensor(layer + STATE + kind);
        if (text.dtype() != DType.U8 || text.elements() > 65_536) {
            throw Layout.wrong(c, layer, "its quant_state is " + TensorSpec.of(text) + ", expected U8 of at most 65536 bytes");
        }
        try {
            JsonObject o = JsonReader.parseObject(text.data().toArray(ValueLayout.JAVA_BYTE));
            for (String key : o.keys()) {
                if (!KEYS.contains(key)) {
                    throw new JsonException("unknown key " + CheckpointException.quote(key));
                }
            }
            if (!o.text("quant_type").equals(kind)) {
                throw new JsonException("quant_type " + CheckpointException.quote(o.text("quant_type")) + " under the name of " + kind);
            }
            DType dtype = DTYPES.get(o.text("dtype"));
            if (dtype == null) {
                throw new JsonException("dtype " + CheckpointException.quote(o.text("dtype")) + ", expected float32, float16 or bfloat16");
            }
            long[] shape = o.integers("shape");
            if (shape.length != 2 || shape[0] < 0 || shape[1] < 0) {
                throw new JsonException("shape " + java.util.Arrays.toString(shape) + ", expected a matrix");
            }
            Math.multiplyExact(shape[0], shape[1]);
            boolean nested = o.has("nested_blocksize") || o.has("nested_offset") || o.has("nested_dtype");
            float offset = 0;
            if (nested) {
                if (o.integer("nested_blocksize") != NestedScales.BLOCK || !o.text("nested_dtype").equals("float32")) {
                    throw new JsonException("nested scales in blocks of " + o.integer("nested_blocksize") + " of "
                            + CheckpointException.quote(o.text("nested_dtype")) + ", expected 256 of float32");
                }
                offset = (float) o.number("nested_offset");
                if (!Float.isFinite(offset)) {
                    throw new JsonException("nested_offset " + o.number("nested_offset") + " is not finite as float32");
                }
            }
            long block = o.integer("blocksize");
            Scheme.Bnb4 scheme = new Scheme.Bnb4(
                    kind.equals("nf4") ? Scheme.Codebook.NF4 : Scheme.Codebook.FP4, Math.clamp(block, 0, 1 << 20), nested);
            return new State(scheme, dtype, shape[0], shape[1], offset);
        } catch (JsonException | IllegalArgumentException | ArithmeticException e) {
            throw Layout.wrong(c, layer, "quant_state: " + e.getMessage());
        }
    }

    private static float[] table(Scheme.Codebook codebook) {
        float[] out = new float[16];
        for (int i = 0; i < 16; i++) {
            out[i] = codebook == Scheme.Codebook.NF4 ? Nf4.decode(i) : BnbFp4.decode(i);
        }
        if (codebook == Scheme.Codebook.FP4) {
            out[8] = 0f; // as bitsandbytes serialises it; its kernels decode code 8 to -0
        }
        return out;
    }

    private static void checkTable(Checkpoint c, String layer, Tensor map, Scheme.Codebook codebook) {
        if (map.dtype() != DType.F32 || map.elements() != 16) {
            throw Layout.wrong(c, layer, "its quant_map is " + TensorSpec.of(map) + ", expected F32 [16]");
        }
        float[] expected = table(codebook);
        for (int i = 0; i < 16; i++) {
            boolean zero = expected[i] == 0 && map.getFloat(i) == 0;
            if (!zero && Float.floatToRawIntBits(map.getFloat(i)) != Float.floatToRawIntBits(expected[i])) {
                throw Layout.wrong(c, layer, "its quant_map has " + map.getFloat(i) + " for code " + i + ", " + codebook + " has " + expected[i]);
            }
        }
    }

    @Override
    public String refusal(LayerInfo info) {
        Scheme scheme = info.scheme();
        return scheme instanceof Scheme.Bnb4 ? null : "it holds NF4 and FP4 only";
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        Scheme scheme = info.scheme();
        long n = info.n();
        long k = info.k();
        Scheme.Bnb4 s = (Scheme.Bnb4) scheme;
        if (s.doubleQuant()) {
            return null; // the state spells out the offset, so its length depends on the weights
        }
        long elements = Math.multiplyExact(n, k);
        String x = layer + ".weight";
        return Map.of(x, TensorSpec.of(DType.U8, Math.ceilDiv(elements, 2L), 1),
                x + ".absmax", TensorSpec.of(DType.F32, Math.ceilDiv(elements, (long) s.blockSize())),
                x + ".quant_map", TensorSpec.of(DType.F32, 16),
                stateName(layer, s), TensorSpec.of(DType.U8, state(s, n, k, info.dtype(), null).length));
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix m, LayerInfo info, Arena arena) {
        require(m, info);
        Scheme.Bnb4 s = (Scheme.Bnb4) m.scheme();
        Map<String, Tensor> out = new LinkedHashMap<>();
        String x = layer + ".weight";
        out.put(x, m.codes().reshape(m.codes().elements(), 1));
        out.put(x + ".absmax", s.doubleQuant() ? m.nested().codes() : m.scales());
        out.put(x + ".quant_map", Tensor.ofFloats(arena, table(s.codebook()), 16));
        if (s.doubleQuant()) {
            out.put(x + ".nested_absmax", m.nested().absmax());
            out.put(x + ".nested_quant_map", m.nested().map());
        }
        byte[] json = state(s, m.n(), m.k(), info.dtype(), m.nested());
        Tensor state = Tensor.allocate(arena, DType.U8, json.length);
        MemorySegment.copy(json, 0, state.data(), ValueLayout.JAVA_BYTE, 0, json.length);
        out.put(stateName(layer, s), state);
        return out;
    }

    private static String stateName(String layer, Scheme.Bnb4 s) {
        return layer + STATE + type(s);
    }

    private static String type(Scheme.Bnb4 s) {
        return s.codebook() == Scheme.Codebook.NF4 ? "nf4" : "fp4";
    }

    private static String torch(DType dtype) {
        return switch (dtype) {
            case F32 -> "float32";
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            default -> throw new IllegalArgumentException("weights of " + dtype + ": expected F32, F16 or BF16");
        };
    }

    /** Keys in the order, and numbers in the digits, of Python's {@code json.dumps}. */
    private static byte[] state(Scheme.Bnb4 s, long n, long k, DType dtype, NestedScales nested) {
        Map<String, Object> state = new LinkedHashMap<>();
        state.put("quant_type", type(s));
        state.put("blocksize", s.blockSize());
        state.put("dtype", torch(dtype));
        state.put("shape", new long[] {n, k});
        if (s.doubleQuant()) {
            state.put("nested_blocksize", NestedScales.BLOCK);
            state.put("nested_dtype", "float32");
            state.put("nested_offset", (double) nested.offset());
        }
        return JsonWriter.write(state, JsonWriter.Style.PYTHON).getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        Scheme scheme = uniform(layers).scheme();
        Scheme.Bnb4 s = (Scheme.Bnb4) scheme;
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("quant_method", "bitsandbytes");
        out.put("load_in_4bit", true);
        out.put("load_in_8bit", false);
        out.put("bnb_4bit_quant_type", type(s));
        out.put("bnb_4bit_use_double_quant", s.doubleQuant());
        out.put("bnb_4bit_compute_dtype", torch(uniform(layers).dtype()));
        out.put("bnb_4bit_quant_storage", "uint8");
        out.put("llm_int8_skip_modules", skipped);
        return out;
    }
}
