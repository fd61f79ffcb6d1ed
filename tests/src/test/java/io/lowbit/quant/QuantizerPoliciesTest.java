package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.ProductCase;
import io.lowbit.backend.RandomMatrix;
import io.lowbit.format.Nf4;
import io.lowbit.format.Overflow;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What quantizers do with NaN, infinities, overflow and zeros: as the options say, and by default refuse or saturate. */
class QuantizerPoliciesTest {
    private static final QuantizeOptions OPTIONS = QuantizeOptions.DEFAULT;

    static Stream<Scheme> schemes() {
        return ProductCase.schemes().stream();
    }

    private static Tensor weights(Arena arena, DType dtype, long n, long k) {
        return RandomMatrix.floats(arena, new SplittableRandom(5), dtype, 0.05f, true, n, k);
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "F16", "BF16"})
    void nonFiniteWeightsAreRefusedByIndexAndNumber(DType dtype) {
        try (Arena arena = Arena.ofShared()) {
            // two chunks of work: the later one may fail first
            Tensor w = weights(arena, dtype, 140, 1031);
            w.setFloat(139L * 1031 + 5, Float.NaN);
            w.setFloat(3L * 1031 + 1030, Float.NEGATIVE_INFINITY);
            w.setFloat(3L * 1031 + 1029, Float.POSITIVE_INFINITY);
            for (Scheme scheme : ProductCase.schemes()) {
                for (int threads : new int[] {1, 2, 5}) {
                    NonFiniteWeightsException e = assertThrows(NonFiniteWeightsException.class,
                            () -> Quantizer.quantize(w, scheme, OPTIONS.withThreads(threads), arena));
                    assertEquals(List.of(3L, 1029L, 3L), List.of(e.row(), e.col(), e.count()), scheme.label());
                    assertEquals(Float.POSITIVE_INFINITY, e.value());
                    assertTrue(e.getMessage().startsWith("3 weights are NaN or infinite, the first is Infinity at [3, 1029]; "), e.getMessage());
                    assertEquals(1, e.getMessage().lines().count());
                }
            }
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("schemes")
    void takenAsZeroTheyGiveTheBitsOfZeros(Scheme scheme) {
        for (DType dtype : List.of(DType.F32, DType.F16, DType.BF16)) {
            try (Arena arena = Arena.ofShared()) {
                Tensor broken = weights(arena, dtype, 9, 301);
                Tensor zeros = weights(arena, dtype, 9, 301);
                float[] values = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY};
                for (int i = 0; i < 40; i++) {
                    long at = 67L * i % broken.elements();
                    broken.setFloat(at, values[i % 3]);
                    zeros.setFloat(at, 0f);
                }
                QuantizeOptions zero = OPTIONS.withNonFinite(NonFinite.ZERO);
                Bitwise.assertSame(Quantizer.quantize(zeros, scheme, OPTIONS, arena), Quantizer.quantize(broken, scheme, zero, arena), scheme + " " + dtype);
            }
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("schemes")
    void onlyFormatsWithNanPropagateIt(Scheme scheme) {
        QuantizeOptions propagate = OPTIONS.withNonFinite(NonFinite.PROPAGATE);
        try (Arena arena = Arena.ofShared()) {
            Tensor w = weights(arena, DType.F32, 3, 129);
            w.setFloat(130, Float.NaN);
            if (scheme.hasNan()) {
                QuantizedMatrix m = Quantizer.quantize(w, scheme, propagate, arena);
                for (long i = 0; i < w.elements(); i++) {
                    assertEquals(i == 130, Float.isNaN(m.value(i / 129, i % 129)), scheme + " " + i);
                }
            } else {
                String message = assertThrows(IllegalArgumentException.class, () -> Quantizer.quantize(w, scheme, propagate, arena)).getMessage();
                assertEquals(scheme.label() + " has no NaN to propagate; use NonFinite.REJECT or NonFinite.ZERO", message);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void propagatedInfinitiesFollowTheOverflowPolicy(Scheme.Fp8Format format) {
        float largest = format == Scheme.Fp8Format.E4M3 ? 448f : 57344f;
        for (Grouping grouping : List.of(Grouping.TENSOR, Grouping.CHANNEL, Grouping.block(128, 128))) {
            try (Arena arena = Arena.ofShared()) {
                Tensor w = weights(arena, DType.F32, 2, 64);
                // scales come from the finite weights: 2 here, a power of two, so that scaled codes are exact
                w.setFloat(7, 2f * largest);
                w.setFloat(64 + 7, 2f * largest);
                w.setFloat(3, Float.POSITIVE_INFINITY);
                w.setFloat(64 + 3, Float.NEGATIVE_INFINITY);
                QuantizeOptions propagate = OPTIONS.withNonFinite(NonFinite.PROPAGATE);
                Scheme scheme = new Scheme.Fp8(format, grouping);
                QuantizedMatrix saturated = Quantizer.quantize(w, scheme, propagate, arena);
                assertEquals(2f, saturated.scale(0, 3), scheme.label());
                assertEquals(2f * largest, saturated.value(0, 3));
                assertEquals(-2f * largest, saturated.value(1, 3));
                QuantizedMatrix not = Quantizer.quantize(w, scheme, propagate.withOverflow(Overflow.NONSATURATING), arena);
                assertEquals(2f * largest, not.value(0, 7), "a finite weight");
                assertEquals(format == Scheme.Fp8Format.E4M3 ? Float.NaN : Float.POSITIVE_INFINITY, not.value(0, 3));
                assertEquals(format == Scheme.Fp8Format.E4M3 ? Float.NaN : Float.NEGATIVE_INFINITY, not.value(1, 3));
            }
        }
    }

    @Test
    void halvesSaturateUnlessToldNotTo() {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = Tensor.ofFloats(arena, new float[] {70000f, -1e30f, 65519f, 1f}, 1, 4);
            Scheme f16 = new Scheme.Dense(DType.F16);
            QuantizedMatrix saturated = Quantizer.quantize(w, f16, OPTIONS, arena);
            assertEquals(List.of(65504f, -65504f, 65504f, 1f), values(saturated));
            QuantizedMatrix not = Quantizer.quantize(w, f16, OPTIONS.withOverflow(Overflow.NONSATURATING), arena);
            assertEquals(List.of(Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 65504f, 1f), values(not));
        }
    }

    private static List<Float> values(QuantizedMatrix m) {
        return Stream.iterate(0L, i -> i < m.k(), i -> i + 1).map(i -> m.value(0, i)).toList();
    }

    @Test
    void anInt4ScaleBeyondItsTypeIsRefusedByRowAndGroup() {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = weights(arena, DType.F32, 300, 1024);
            w.setFloat(299L * 1024 + 700, -3e6f);
            w.setFloat(140L * 1024 + 129, 2e6f);
            for (int threads : new int[] {1, 2, 5}) {
                for (boolean symmetric : new boolean[] {true, false}) {
                    Scheme g128 = new Scheme.Int4(Grouping.group(128), symmetric);
                    String message = assertThrows(IllegalArgumentException.class,
                            () -> Quantizer.quantize(w, g128, OPTIONS.withThreads(threads), arena)).getMessage();
                    assertEquals("the INT4 scale of row 140, group 1 (weights up to 2000000.0) does not fit F16; use BF16 or F32 scales", message);
                }
            }
            Scheme whole = new Scheme.Int4(Grouping.TENSOR, true);
            assertTrue(assertThrows(IllegalArgumentException.class, () -> Quantizer.quantize(w, whole, OPTIONS, arena)).getMessage()
                    .startsWith("the INT4 scale of the matrix (weights up to 3000000.0) does not fit F16"));
            QuantizedMatrix fits = Quantizer.quantize(w, new Scheme.Int4(Grouping.group(128), true, DType.F32), OPTIONS, arena);
            assertEquals(7 * (2e6f / 7.5f), fits.value(140, 129), "code 15 of a scale of absmax / 7.5");
        }
    }

    @Test
    void zeroBlocksAreZerosOrCudasCodes() {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = weights(arena, DType.F32, 2, 64);
            for (int i = 0; i < 64; i++) {
                w.setFloat(i, 0f);
            }
            Scheme nf4 = new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true);
            QuantizedMatrix zeros = Quantizer.quantize(w, nf4, OPTIONS, arena);
            QuantizedMatrix cuda = Quantizer.quantize(w, nf4, OPTIONS.withZeroBlock(ZeroBlock.CUDA), arena);
            for (int i = 0; i < 64; i++) {
                assertEquals(0f, Math.abs(zeros.value(0, i)));
                assertEquals(0, cuda.code(0, i));
            }
            assertEquals(-1f, Nf4.decode(0), "what the code 0 stands for");
            assertEquals(zeros.code(1, 5), cuda.code(1, 5), "a block that is not zero");
        }
    }

    /** Where a group has only zeros every scheme gives zeros back, with a scale that readers take: finite, not 0 (but absmax). */
    @ParameterizedTest(name = "{0}")
    @MethodSource("schemes")
    void zerosComeBackAsZeros(Scheme scheme) {
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = Quantizer.quantize(Tensor.allocate(arena, DType.F32, 5, 131), scheme, OPTIONS, arena);
            for (long i = 0; i < 5 * 131; i++) {
                assertEquals(0f, Math.abs(m.value(i / 131, i % 131)), scheme.label());
                float scale = m.scale(i / 131, i % 131);
                boolean zeroAllowed = scheme instanceof Scheme.Bnb4 || scheme instanceof Scheme.Nvfp4;
                assertTrue(Float.isFinite(scale) && (scale > 0 || zeroAllowed), scheme.label() + " scale " + scale);
            }
        }
    }

    @Test
    void wrongCallsSayWhatWasExpected() {
        Scheme int4 = new Scheme.Int4(Grouping.group(128), true);
        try (Arena arena = Arena.ofShared()) {
            Tensor w = weights(arena, DType.F32, 4, 128);
            expect("expected a weight matrix [N, K], got shape [4]", () -> Quantizer.quantize(weights(arena, DType.F32, 4, 1).reshape(4), int4, OPTIONS, arena));
            expect("expected weights of F32, F16 or BF16, got U8", () -> Quantizer.quantize(Tensor.allocate(arena, DType.U8, 4, 4), int4, OPTIONS, arena));
            expect("the clip search is for INT4, not for mxfp4", () -> Quantizer.quantize(w, new Scheme.Mxfp4(), OPTIONS.withClip(ClipSearch.GPTQ), arena));
            expect("threads 0: expected at least 1", () -> OPTIONS.withThreads(0));
            expect("expected F32, F16 or BF16 to dequantize to, got F8_E4M3",
                    () -> Dequantizer.dequantize(Quantizer.quantize(w, int4, OPTIONS, arena), DType.F8_E4M3, arena));
        }
        Arena closed = Arena.ofShared();
        Tensor gone = weights(closed, DType.F32, 4, 128);
        closed.close();
        try (Arena arena = Arena.ofShared()) {
            assertThrows(IllegalStateException.class, () -> Quantizer.quantize(gone, int4, OPTIONS, arena));
            Tensor w = weights(arena, DType.F32, 4, 128);
            assertThrows(IllegalStateException.class, () -> Quantizer.quantize(w, int4, OPTIONS, closed));
        }
    }

    private static void expect(String start, org.junit.jupiter.api.function.Executable call) {
        String message = assertThrows(IllegalArgumentException.class, call).getMessage();
        assertTrue(message.startsWith(start), message);
    }

    /** One thread must do for confined memory, which no other thread may touch. */
    @Test
    void confinedArenasAreWorkedOnByTheirOwnThread() {
        try (Arena confined = Arena.ofConfined(); Arena shared = Arena.ofShared()) {
            Tensor w = weights(confined, DType.F32, 300, 1024);
            Scheme scheme = new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL);
            QuantizedMatrix there = Quantizer.quantize(w, scheme, OPTIONS.withThreads(5), confined);
            QuantizedMatrix elsewhere = Quantizer.quantize(weights(shared, DType.F32, 300, 1024), scheme, OPTIONS.withThreads(5), shared);
            Bitwise.assertSame(elsewhere, there, "confined and shared");
        }
    }
}
