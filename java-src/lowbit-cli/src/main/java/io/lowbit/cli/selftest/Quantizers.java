package io.lowbit.cli.selftest;

import io.lowbit.backend.Backend;
import io.lowbit.backend.ProductCase;
import io.lowbit.backend.RandomMatrix;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.NestedScales;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;

/** A device's quantizers and dequantizers against the CPU's, byte for byte, for every scheme. */
final class Quantizers {
    private static final long[][] SHAPES = {{1, 1}, {33, 259}, {64, 512}};
    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};

    private Quantizers() {}

    /** The group's name. */
    static String name(String backend) {
        return backend + " quantizers";
    }

    static GroupResult run(Backend backend) {
        Check check = new Check();
        int turn = 0;
        for (Scheme scheme : ProductCase.schemes()) {
            for (long[] shape : SHAPES) {
                DType type = TYPES[turn++ % TYPES.length];
                try (Arena arena = Arena.ofShared()) {
                    Tensor weights = RandomMatrix.floats(arena, new SplittableRandom(61 + turn), type, 0.05f, true, shape);
                    QuantizedMatrix expected = Quantizer.quantize(weights, scheme, QuantizeOptions.DEFAULT, arena);
                    QuantizedMatrix got = backend.quantize(weights, scheme, QuantizeOptions.DEFAULT, arena);
                    String what = expected + " of " + type + " seed " + (61 + turn);
                    check.holds(same(expected, got), what + ": the quantized bytes are not the CPU's");
                    check.holds(same(Dequantizer.dequantize(expected, type, arena), backend.dequantize(expected, type, arena)),
                            what + ": the dequantized bytes are not the CPU's");
                }
            }
        }
        return check.result(name(backend.name()), "matrices and their floats, byte for byte the CPU's");
    }

    private static boolean same(QuantizedMatrix a, QuantizedMatrix b) {
        NestedScales an = a.nested();
        NestedScales bn = b.nested();
        return same(a.codes(), b.codes()) && same(a.scales(), b.scales()) && same(a.zeros(), b.zeros())
                && Float.floatToRawIntBits(a.tensorScale()) == Float.floatToRawIntBits(b.tensorScale())
                && (an == null) == (bn == null)
                && (an == null || same(an.codes(), bn.codes()) && same(an.absmax(), bn.absmax()) && same(an.map(), bn.map())
                        && Float.floatToRawIntBits(an.offset()) == Float.floatToRawIntBits(bn.offset()));
    }

    private static boolean same(Tensor a, Tensor b) {
        return a == null ? b == null : b != null && a.dtype() == b.dtype() && a.data().mismatch(b.data()) == -1;
    }
}
