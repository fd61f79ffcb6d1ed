package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.format.Float8;
import io.lowbit.format.MxScaleRule;
import io.lowbit.format.Overflow;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** MXFP8 against its definition in doubles: the scale by comparing powers of two, the code by trying all of them. */
class Mxfp8QuantizerTest {
    private static final QuantizeOptions OPTIONS = QuantizeOptions.DEFAULT;

    @ParameterizedTest
    @EnumSource
    void scalesAndCodesAreThoseOfTheDefinition(Scheme.Fp8Format format) {
        Scheme.Mxfp8 scheme = new Scheme.Mxfp8(format);
        int emax = format == Scheme.Fp8Format.E4M3 ? 8 : 15;
        try (Arena arena = Arena.ofConfined()) {
            Tensor w = Tensor.allocate(arena, DType.F32, 5, 131);
            SplittableRandom random = new SplittableRandom(12);
            for (long i = 0; i < w.elements(); i++) {
                w.setFloat(i, (float) (random.nextGaussian() * Math.scalb(1.0, (int) (i / 32) % 60 - 30)));
            }
            for (MxScaleRule rule : new MxScaleRule[] {MxScaleRule.FLOOR, MxScaleRule.RCEIL, MxScaleRule.CEIL}) {
                QuantizedMatrix m = Quantizer.quantize(w, scheme, OPTIONS.withMxScaleRule(rule), arena);
                for (long row = 0; row < 5; row++) {
                    for (long col = 0; col < 131; col++) {
                        double amax = 0;
                        for (long c = col / 32 * 32; c < Math.min(131, col / 32 * 32 + 32); c++) {
                            amax = Math.max(amax, Math.abs(w.getFloat(row * 131 + c)));
                        }
                        double scale = switch (rule) {
                            case FLOOR -> lastPower(amax) / (1 << emax);
                            case CEIL -> firstPower(amax) / (1 << emax);
                            default -> firstPower(amax / format.float8().max());
                        };
                        assertEquals(scale, m.scale(row, col), rule + " [" + row + ", " + col + "]");
                        assertEquals(nearest(w.getFloat(row * 131 + col) / scale, format.float8()), m.code(row, col), rule + " [" + row + ", " + col + "]");
                        assertEquals(format.float8().decode(m.code(row, col)) * scale, m.value(row, col));
                    }
                }
            }
        }
    }

    /** The largest power of two that is at most x. */
    private static double lastPower(double x) {
        double power = 0x1p-140;
        while (2 * power <= x) {
            power *= 2;
        }
        return power;
    }

    /** The least power of two that is at least x. */
    private static double firstPower(double x) {
        double power = 0x1p-140;
        while (power < x) {
            power *= 2;
        }
        return power;
    }

    /** The finite code nearest to x, the even one of two; of zeros the one of x's sign. */
    private static int nearest(double x, Float8 format) {
        int best = 0;
        for (int code = 0; code <= format.maxCode(); code++) {
            double closer = Math.abs(Math.abs(x) - format.decode(best)) - Math.abs(Math.abs(x) - format.decode(code));
            best = closer > 0 || closer == 0 && (code & 1) == 0 ? code : best;
        }
        return best | (Double.doubleToRawLongBits(x) < 0 ? 0x80 : 0);
    }

    /** The floor rule leaves up to 512 times the scale: saturated, or NaN where asked for; RCEIL never clips. */
    @Test
    void whatTheFloorRuleClipsFollowsThePolicy() {
        Scheme scheme = new Scheme.Mxfp8(Scheme.Fp8Format.E4M3);
        try (Arena arena = Arena.ofConfined()) {
            Tensor w = Tensor.ofFloats(arena, new float[] {500f, -1f, Float.NaN, Float.NEGATIVE_INFINITY}, 1, 4);
            QuantizeOptions kept = OPTIONS.withNonFinite(NonFinite.PROPAGATE);
            QuantizedMatrix saturated = Quantizer.quantize(w, scheme, kept, arena);
            assertEquals(448f, saturated.value(0, 0));
            assertTrue(Float.isNaN(saturated.value(0, 2)));
            assertEquals(-448f, saturated.value(0, 3), "an infinity beside finite weights, whose scale it does not move");
            QuantizedMatrix not = Quantizer.quantize(w, scheme, kept.withOverflow(Overflow.NONSATURATING), arena);
            assertTrue(Float.isNaN(not.value(0, 0)) && Float.isNaN(not.value(0, 3)));
            assertEquals(-1f, not.value(0, 1));
            QuantizedMatrix rceil = Quantizer.quantize(w, scheme, kept.withMxScaleRule(MxScaleRule.RCEIL), arena);
            assertEquals(2f, rceil.scale(0, 0));
            assertEquals(512f, rceil.value(0, 0), "500 / 2 is between 240 and 256");
        }
    }

    @Test
    void aBlockOfZerosHasTheLeastScaleAndCodesOfZero() {
        Scheme scheme = new Scheme.Mxfp8(Scheme.Fp8Format.E5M2);
        try (Arena arena = Arena.ofConfined()) {
            QuantizedMatrix m = Quantizer.quantize(Tensor.allocate(arena, DType.F32, 1, 33), scheme, OPTIONS, arena);
            assertEquals(0x1p-127f, m.scale(0, 32));
            assertEquals(0, m.code(0, 32));
            assertEquals(8.0 * (33 + 2) / 33, m.bitsPerWeight());
        }
    }
}
