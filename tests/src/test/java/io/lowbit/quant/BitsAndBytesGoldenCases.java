package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.format.BnbFp4;
import io.lowbit.format.GoldenFile;
import io.lowbit.format.Nf4;
import io.lowbit.format.Nibbles;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** bitsandbytes' CUDA results, every case of bnb4bit.safetensors. */
public abstract class BitsAndBytesGoldenCases {
    /** Who is tested. */
    protected abstract Engine engine();

    private static final GoldenFile GOLDEN = GoldenFile.open("bnb4bit.safetensors");
    private static final Pattern CASE = Pattern.compile("((\\w+)\\.(f32|bf16|f16)\\.(nf4|fp4)\\.bs(\\d+)\\.(sq|dq))\\.packed");
    private static int slivers;

    public record Case(String name, Tensor weight, Scheme.Bnb4 scheme) {
        String part(String part) {
            return name + "." + part;
        }

        @Override
        public String toString() {
            return name;
        }
    }

    public static Stream<Case> cases() {
        List<Case> cases = new ArrayList<>();
        for (String name : GOLDEN.names()) {
            Matcher m = CASE.matcher(name);
            if (m.matches()) {
                Scheme.Codebook codebook = m.group(4).equals("nf4") ? Scheme.Codebook.NF4 : Scheme.Codebook.FP4;
                Scheme.Bnb4 scheme = new Scheme.Bnb4(codebook, Integer.parseInt(m.group(5)), m.group(6).equals("dq"));
                cases.add(new Case(m.group(1), GOLDEN.get("w." + m.group(2) + "." + m.group(3)), scheme));
            }
        }
        assertEquals(GOLDEN.names().stream().filter(n -> n.endsWith(".packed")).count(), cases.size());
        assertTrue(cases.size() >= 36, "cases found: " + cases.size());
        return cases.stream();
    }

    private static QuantizedMatrix stored(Case c) {
        long n = c.weight.dim(0);
        long k = c.weight.dim(1);
        Tensor codes = GOLDEN.get(c.part("packed"));
        codes = codes.reshape(codes.elements());
        if (!c.scheme.doubleQuant()) {
            return QuantizedMatrix.bnb4(c.scheme, n, k, codes, GOLDEN.get(c.part("absmax")));
        }
        return QuantizedMatrix.bnb4(c.scheme, n, k, codes, new NestedScales(GOLDEN.get(c.part("absmax")), GOLDEN.get(c.part("nested_absmax")),
                GOLDEN.get("nested_quant_map"), GOLDEN.get(c.part("nested_offset")).getFloat(0)));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    public void decodesToTheSameBits(Case c) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = stored(c);
            Bitwise.assertSame(GOLDEN.get(c.part("dequant")), engine().dequantize(m, c.weight.dtype(), arena), "dequant");
            if (GOLDEN.has(c.part("dequant_f32"))) {
                Bitwise.assertSame(GOLDEN.get(c.part("dequant_f32")), engine().dequantize(m, DType.F32, arena), "dequant_f32");
            }
            if (c.scheme.doubleQuant()) {
                Tensor decoded = GOLDEN.get(c.part("absmax_decoded"));
                for (long b = 0; b < decoded.elements(); b++) {
                    assertEquals(decoded.getInt(b), Float.floatToRawIntBits(m.nested().scale(b)), "absmax " + b);
                }
            }
        }
    }

    /** With CUDA's code for all-zero blocks: NF4 equal in every byte; FP4 but for neighbours at a threshold. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    public void encodesToTheSameCodes(Case c) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = engine().quantize(c.weight, c.scheme, QuantizeOptions.DEFAULT.withZeroBlock(ZeroBlock.CUDA), arena);
            Tensor packed = GOLDEN.get(c.part("packed"));
            Tensor absmax = absmax(c, arena);
            if (!c.scheme.doubleQuant()) {
                Bitwise.assertSame(GOLDEN.get(c.part("absmax")), m.scales(), "absmax");
            }
            if (c.scheme.codebook() == Scheme.Codebook.NF4) {
                Bitwise.assertSameBytes(packed, m.codes(), "packed");
                return;
            }
            int differ = 0;
            for (long i = 0; i < c.weight.elements() + (c.weight.elements() & 1); i++) {
                int expected = Nibbles.HIGH_FIRST.get(packed.data(), 0, i);
                int actual = Nibbles.HIGH_FIRST.get(m.codes().data(), 0, i);
                if (expected != actual) {
                    differ++;
                    float scale = absmax.getFloat(i / c.scheme.blockSize());
                    assertNeighbours(c.weight.getFloat(i) * (1f / scale), expected, actual, i);
                }
            }
            slivers += differ;
            assertTrue(differ <= (c.weight.dtype() == DType.F32 ? 0 : 4), differ + " FP4 codes differ, the reference says at most 4, none for f32");
        }
    }

    private static void assertNeighbours(float y, int expected, int actual, long i) {
        assertEquals(expected & 8, actual & 8, "sign of code " + i);
        for (int rank = 0; rank < 7; rank++) {
            float t = BnbFp4.threshold(rank);
            int below = BnbFp4.codeOfRank(rank);
            int above = BnbFp4.codeOfRank(rank + 1);
            boolean pair = (expected & 7) == below && (actual & 7) == above || (expected & 7) == above && (actual & 7) == below;
            if (pair && Math.abs(Float.floatToRawIntBits(Math.abs(y)) - Float.floatToRawIntBits(t)) <= 2) {
                return;
            }
        }
        throw new AssertionError("code " + i + " of " + y + ": expected " + expected + ", got " + actual + ", not neighbours at a threshold");
    }

    /** The absmax before double quantization. */
    private Tensor absmax(Case c, Arena arena) {
        Scheme.Bnb4 plain = new Scheme.Bnb4(c.scheme.codebook(), c.scheme.blockSize(), false);
        return engine().quantize(c.weight, plain, QuantizeOptions.DEFAULT, arena).scales();
    }

    public static Stream<Case> nestedCases() {
        return cases().filter(c -> c.scheme.doubleQuant());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("nestedCases")
    public void doubleQuantization(Case c) {
        try (Arena arena = Arena.ofShared()) {
            Tensor absmax = absmax(c, arena);
            float stored = GOLDEN.get(c.part("nested_offset")).getFloat(0);
            float own = Bnb4Quantizer.mean(absmax);
            assertTrue(Math.abs(Float.floatToRawIntBits(stored) - Float.floatToRawIntBits(own)) <= 2, "offset " + own + ", stored " + stored);
            NestedScales nested = Bnb4Quantizer.nest(absmax, stored, arena);
            Bitwise.assertSame(GOLDEN.get(c.part("nested_absmax")), nested.absmax(), "nested absmax");
            Bitwise.assertSame(GOLDEN.get(c.part("absmax")), nested.codes(), "absmax codes");
            Bitwise.assertSameBytes(GOLDEN.get("nested_quant_map"), nested.map(), "map");
            QuantizedMatrix m = engine().quantize(c.weight, c.scheme, QuantizeOptions.DEFAULT, arena);
            assertEquals(own, m.nested().offset());
        }
    }

    /** By default all-zero blocks hold the code of 0, and zeros come back as zeros; all else is as CUDA writes it. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    public void defaultDiffersFromCudaInZeroBlocksOnly(Case c) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix cuda = engine().quantize(c.weight, c.scheme, QuantizeOptions.DEFAULT.withZeroBlock(ZeroBlock.CUDA), arena);
            QuantizedMatrix m = engine().quantize(c.weight, c.scheme, QuantizeOptions.DEFAULT, arena);
            Tensor absmax = absmax(c, arena);
            int zero = c.scheme.codebook() == Scheme.Codebook.NF4 ? Nf4.ZERO : BnbFp4.ZERO;
            Tensor values = engine().dequantize(m, DType.F32, arena);
            for (long i = 0; i < c.weight.elements(); i++) {
                int code = Nibbles.HIGH_FIRST.get(m.codes().data(), 0, i);
                if (absmax.getFloat(i / c.scheme.blockSize()) == 0) {
                    assertEquals(zero, code, "code " + i);
                    assertEquals(0f, Math.abs(values.getFloat(i)), "value " + i);
                } else {
                    assertEquals(Nibbles.HIGH_FIRST.get(cuda.codes().data(), 0, i), code, "code " + i);
                }
            }
        }
    }

    @AfterAll
    public static void report() {
        System.out.println("bitsandbytes FP4: " + slivers + " codes on the other side of a threshold, each within 2 ulp of it");
    }
}
