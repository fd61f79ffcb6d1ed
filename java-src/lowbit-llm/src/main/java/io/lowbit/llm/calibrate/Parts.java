package io.lowbit.llm.calibrate;

import io.lowbit.quant.NestedScales;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;

/** The parts of a matrix in its canonical layout, by name, and back: what {@link FileLayerStore} keeps. */
final class Parts {
    private Parts() {}

    static Map<String, Tensor> write(QuantizedMatrix m, Arena arena) {
        Map<String, Tensor> out = new LinkedHashMap<>();
        Tensor shape = Tensor.allocate(arena, DType.I32, 2);
        shape.data().set(ValueLayout.JAVA_INT_UNALIGNED, 0, Math.toIntExact(m.n()));
        shape.data().set(ValueLayout.JAVA_INT_UNALIGNED, 4, Math.toIntExact(m.k()));
        out.put("/shape", shape);
        out.put("/codes", m.codes());
        put(out, "/scales", m.scales());
        put(out, "/zeros", m.zeros());
        put(out, "/groups", m.groups());
        if (m.nested() != null) {
            out.put("/nested_codes", m.nested().codes());
            out.put("/nested_absmax", m.nested().absmax());
            out.put("/nested_map", m.nested().map());
            out.put("/factor", Tensor.ofFloats(arena, new float[] {m.nested().offset()}, 1));
        } else if (m.scheme() instanceof Scheme.Nvfp4) {
            out.put("/factor", Tensor.ofFloats(arena, new float[] {m.tensorScale()}, 1));
        }
        return out;
    }

    private static void put(Map<String, Tensor> out, String name, Tensor t) {
        if (t != null) {
            out.put(name, t);
        }
    }

    static QuantizedMatrix read(Scheme scheme, long n, long k, Tensor codes, Function<String, Tensor> part) {
        return switch (scheme) {
            case Scheme.Int4 s -> QuantizedMatrix.int4(s, n, k, codes, part.apply("/scales"), part.apply("/zeros"), part.apply("/groups"));
            case Scheme.Bnb4 s -> s.doubleQuant()
                    ? QuantizedMatrix.bnb4(s, n, k, codes, new NestedScales(part.apply("/nested_codes"), part.apply("/nested_absmax"),
                            part.apply("/nested_map"), part.apply("/factor").getFloat(0)))
                    : QuantizedMatrix.bnb4(s, n, k, codes, part.apply("/scales"));
            case Scheme.Mxfp4 _ -> QuantizedMatrix.mxfp4(n, k, codes, part.apply("/scales"));
            case Scheme.Mxfp8 s -> QuantizedMatrix.mxfp8(s, n, k, codes, part.apply("/scales"));
            case Scheme.Nvfp4 _ -> QuantizedMatrix.nvfp4(n, k, codes, part.apply("/scales"), part.apply("/factor").getFloat(0));
            case Scheme.Fp8 s -> QuantizedMatrix.fp8(s, n, k, codes, part.apply("/scales"));
            default -> throw new IllegalArgumentException(scheme.label() + " is no scheme that a model is quantized to");
        };
    }
}
