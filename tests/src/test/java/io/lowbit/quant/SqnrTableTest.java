package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.format.MxScaleRule;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Signal-to-noise ratios on N(0,1) weights, against figures of an independent implementation (two seeds, 4096×4096,
 * F16 scales). Better than expected fails too: that is usually a fault of the measurement. INT4 with one scale for the
 * matrix is not in the table: its figure hangs on the largest of 16.7 million weights and moves by 0.3 dB with the seed.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@DisplayName("SQNR on N(0,1), 4096x4096, seed 20261124")
class SqnrTableTest {
    private static final long SEED = 20261124;
    private static final int SIZE = 4096;
    /** Rows for the clip search, which tries 80 ranges a group: their SQNR spreads by 0.01 dB, 4096 rows' by 0.005. */
    private static final int SEARCH_ROWS = 256;
    private static final double TOLERANCE = 0.05;

    private Arena arena;
    private Tensor weights;

    @BeforeAll
    void generate() {
        arena = Arena.ofShared();
        weights = Tensor.allocate(arena, DType.F32, SIZE, SIZE);
        SplittableRandom random = new SplittableRandom(SEED);
        for (long i = 0; i < weights.elements(); i++) {
            weights.setFloat(i, (float) random.nextGaussian());
        }
    }

    @AfterAll
    void free() {
        arena.close();
    }

    static Stream<Arguments> table() {
        Grouping g128 = Grouping.group(128);
        Scheme mxfp4 = new Scheme.Mxfp4();
        Scheme mxfp8 = new Scheme.Mxfp8(Scheme.Fp8Format.E4M3);
        QuantizeOptions plain = QuantizeOptions.DEFAULT;
        return Stream.of(
                row(new Scheme.Int4(Grouping.CHANNEL, true), 16.65),
                row(new Scheme.Int4(g128, true), 19.11),
                row(new Scheme.Int4(Grouping.group(64), true), 19.76),
                row(new Scheme.Int4(Grouping.group(32), true), 20.47),
                row(new Scheme.Int4(Grouping.CHANNEL, false), 17.08),
                row(new Scheme.Int4(g128, false), 19.96),
                row(new Scheme.Int4(Grouping.group(64), false), 20.82),
                row(new Scheme.Int4(Grouping.group(32), false), 21.86),
                row(bnb(Scheme.Codebook.NF4, 32, false), 21.18),
                row(bnb(Scheme.Codebook.NF4, 64, false), 20.73),
                row(bnb(Scheme.Codebook.NF4, 64, true), 20.725),
                row(bnb(Scheme.Codebook.NF4, 128, false), 20.39),
                row(bnb(Scheme.Codebook.NF4, 4096, false), 19.17),
                row(bnb(Scheme.Codebook.FP4, 64, false), 18.28),
                row(bnb(Scheme.Codebook.FP4, 32, false), 18.85),
                row(mxfp4, plain.withMxScaleRule(MxScaleRule.FLOOR), 18.79),
                row(mxfp4, plain.withMxScaleRule(MxScaleRule.RCEIL), 18.76),
                row(mxfp4, plain.withMxScaleRule(MxScaleRule.EVEN), 19.03),
                row(mxfp4, plain.withMxScaleRule(MxScaleRule.CEIL), 16.82),
                row(new Scheme.Nvfp4(), 20.43),
                row(new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR), 31.53),
                row(new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL), 31.54),
                row(new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.block(128, 128)), 31.55),
                row(new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.TENSOR), 25.56),
                row(mxfp8, plain.withMxScaleRule(MxScaleRule.FLOOR), 30.64),
                row(mxfp8, plain.withMxScaleRule(MxScaleRule.RCEIL), 31.52),
                row(new Scheme.Int4(Grouping.CHANNEL, true), plain.withClip(ClipSearch.GPTQ), 19.17),
                row(new Scheme.Int4(g128, true), plain.withClip(ClipSearch.GPTQ), 19.87),
                row(new Scheme.Int4(g128, true), plain.withClip(squared()), 19.92),
                row(new Scheme.Int4(Grouping.group(32), true), plain.withClip(squared()), 21.14),
                row(new Scheme.Int4(g128, false), plain.withClip(squared()), 20.45));
    }

    private static Scheme bnb(Scheme.Codebook codebook, int block, boolean doubleQuant) {
        return new Scheme.Bnb4(codebook, block, doubleQuant);
    }

    private static ClipSearch squared() {
        return new ClipSearch(2.0, 100, 0.8);
    }

    private static Arguments row(Scheme scheme, double expected) {
        return row(scheme, QuantizeOptions.DEFAULT, expected);
    }

    private static Arguments row(Scheme scheme, QuantizeOptions options, double expected) {
        return Arguments.of(scheme, options, expected, TOLERANCE);
    }

    @ParameterizedTest(name = "{0}, {1}: {2} dB")
    @MethodSource("table")
    void ratio(Scheme scheme, QuantizeOptions options, double expected, double tolerance) {
        Tensor source = options.clip() == null ? weights : weights.rows(0, SEARCH_ROWS);
        try (Arena scratch = Arena.ofShared()) {
            QuantizedMatrix quantized = Quantizer.quantize(source, scheme, options, scratch);
            double decibels = Sqnr.of(quantized, source).decibels();
            System.out.printf("SQNR %-20s %-6s %-24s %7.3f bits %8.3f dB, reference %7.3f%n", scheme.label(),
                    scheme instanceof Scheme.Mxfp4 || scheme instanceof Scheme.Mxfp8 ? options.mxScaleRule() : "", options.clip() == null ? "" : "clip search, norm " + options.clip().norm(),
                    quantized.bitsPerWeight(), decibels, expected);
            assertEquals(expected, decibels, tolerance, scheme.label());
        }
    }
}
