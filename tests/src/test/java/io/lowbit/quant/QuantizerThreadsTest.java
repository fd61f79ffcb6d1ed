package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.backend.ProductCase;
import io.lowbit.backend.RandomMatrix;
import io.lowbit.format.MxScaleRule;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every quantizer, the dequantizer and the SQNR: 1, 2 and 5 threads give the same bits. */
class QuantizerThreadsTest {
    /** Several chunks of work, the last one short; K is odd, so no group, block or byte ends with a row. */
    private static final long N = 420;
    private static final long K = 1031;

    static Stream<Arguments> cases() {
        Stream<Arguments> plain = ProductCase.schemes().stream().map(s -> Arguments.of(s.label(), s, QuantizeOptions.DEFAULT));
        ClipSearch clip = new ClipSearch(2.0, 20, 0.8);
        Stream<Arguments> special = Stream.of(
                Arguments.of("int4 sym tensor, clip search", new Scheme.Int4(Grouping.TENSOR, true), QuantizeOptions.DEFAULT.withClip(clip)),
                Arguments.of("int4 asym g100, clip search", new Scheme.Int4(Grouping.group(100), false), QuantizeOptions.DEFAULT.withClip(clip)),
                Arguments.of("mxfp4 ceil", new Scheme.Mxfp4(), QuantizeOptions.DEFAULT.withMxScaleRule(MxScaleRule.CEIL)),
                Arguments.of("nf4 of 1 % NaN taken as zero", new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true),
                        QuantizeOptions.DEFAULT.withNonFinite(NonFinite.ZERO)));
        return Stream.concat(plain, special);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void bitsDoNotDependOnTheNumberOfThreads(String name, Scheme scheme, QuantizeOptions options) {
        try (Arena arena = Arena.ofShared()) {
            Tensor w = RandomMatrix.floats(arena, new SplittableRandom(31), DType.BF16, 0.05f, true, N, K);
            if (options.nonFinite() == NonFinite.ZERO) {
                for (long i = 0; i < w.elements(); i += 100) {
                    w.setFloat(i, Float.NaN);
                }
            }
            QuantizedMatrix one = Quantizer.quantize(w, scheme, options.withThreads(1), arena);
            Tensor back = Dequantizer.dequantize(one, DType.F32, 1, arena);
            double sqnr = Sqnr.of(one, w, 1).decibels();
            for (int threads : new int[] {2, 5}) {
                Bitwise.assertSame(one, Quantizer.quantize(w, scheme, options.withThreads(threads), arena), name + ", " + threads + " threads");
                Bitwise.assertSame(back, Dequantizer.dequantize(one, DType.F32, threads, arena), name + " dequantized, " + threads + " threads");
                assertEquals(sqnr, Sqnr.of(one, w, threads).decibels(), name + " SQNR, " + threads + " threads");
            }
        }
    }
}
