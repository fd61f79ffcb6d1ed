package io.lowbit.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.format.MxScaleRule;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The published block vectors: 64 exact weights x_i = ((i+1)·2654435761 mod 2^32 >> 8) · 2^-23 − 1 in each format. */
public abstract class BlockVectorsCases {
    /** Who is tested. */
    protected abstract Engine engine();

    private static Tensor x;

    @BeforeAll
    public static void generate() throws NoSuchAlgorithmException {
        float[] values = new float[64];
        for (int i = 0; i < 64; i++) {
            values[i] = ((i + 1) * 2654435761L & 0xffffffffL) >> 8;
            values[i] = values[i] * 0x1p-23f - 1f;
        }
        x = Tensor.ofFloats(Arena.ofAuto(), values, 1, 64);
        assertEquals("a597128403e80e48aec3d4f32ae3f993cfeb2d1b673b280a5ca097e0a1a3ae0c", sha256(x));
    }

    private QuantizedMatrix quantize(Scheme scheme, QuantizeOptions options) {
        return engine().quantize(x, scheme, options, Arena.ofAuto());
    }

    private QuantizedMatrix quantize(Scheme scheme) {
        return quantize(scheme, QuantizeOptions.DEFAULT);
    }

    @Test
    public void nf4() throws NoSuchAlgorithmException {
        QuantizedMatrix m = quantize(new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false));
        assertEquals("a2e61c3f91d50b2e71c4f92e60b3e81d50a2e71c4f91d50b3e81d4fa2e60c3f8", hex(m.codes()));
        assertEquals(0x3f7bd64a, m.scales().getInt(0));
        assertEquals("4c40c6a829860c3edc41fade531753f3b23cfedfc0999608adfa59d98e1beb34", sha256(dequantized(m)));
    }

    @Test
    public void bitsandbytesFp4() throws NoSuchAlgorithmException {
        QuantizedMatrix m = quantize(new Scheme.Bnb4(Scheme.Codebook.FP4, 64, false));
        assertEquals("7d29a5c36a2eb4d21a5f36d2eb4c31a5fb7d29a5c36a2eb4d21a5f37d29b4c36", hex(m.codes()));
        assertEquals("3fe5b75bcf5771ddd0cb92118003da1dbcf0d3849fa5b85d883b9fd43bab182d", sha256(dequantized(m)));
    }

    @Test
    public void int4Symmetric() {
        QuantizedMatrix m = quantize(new Scheme.Int4(Grouping.group(64), true));
        assertEquals("a4d82b5f93d71a5e82c6f94d71b5e93c61a4e82b6f93d71b5e82c6fa4d72b5f9", codes(m));
        assertEquals("3330", hex(m.scales()));
    }

    @Test
    public void int4Asymmetric() {
        QuantizedMatrix m = quantize(new Scheme.Int4(Grouping.group(64), false));
        assertEquals("93c71a4e82c6093d71b5e83c60a4d82b5093d71a5e82c60a4d71b5f93c61a4e8", codes(m));
        assertEquals("2d30", hex(m.scales()));
        assertEquals(7, m.zero(0, 0));
    }

    @Test
    public void mxfp4() {
        QuantizedMatrix floor = quantize(new Scheme.Mxfp4());
        assertEquals("7c7c", hex(floor.scales()));
        assertEquals("e4975f7df2b64f7ef0c6377efad5176ffbe4876f7de2a65f7df1c6477ef9d527", hex(floor.codes()));
        for (MxScaleRule rule : new MxScaleRule[] {MxScaleRule.RCEIL, MxScaleRule.EVEN}) {
            QuantizedMatrix m = quantize(new Scheme.Mxfp4(), QuantizeOptions.DEFAULT.withMxScaleRule(rule));
            assertEquals("7d7d", hex(m.scales()), rule.name());
            assertEquals("c2853d6bd1942e5cd0a4265cd9b3154deac2854d6bc1943e5bd0a4265cd9b315", hex(m.codes()), rule.name());
        }
    }

    @Test
    public void nvfp4() {
        QuantizedMatrix m = quantize(new Scheme.Nvfp4());
        assertEquals(0x39bfe038, Float.floatToRawIntBits(m.tensorScale()));
        assertEquals("7d7e7e7e", hex(m.scales()));
        assertEquals("d3965f7ce2a64f7de0b5276df9c4175efbd3865e7ce2a64f6de0b5376df9c417", hex(m.codes()));
    }

    /** The vectors hold the codes of 3x with scale 1: an extra column of the format's largest value fixes the scale. */
    @Test
    public void fp8() {
        String e4m3 = "33bd40a3c23ab8432cbf3eb0c337bb4112c13cb54331be40a9c239b94228c03db2c435bc419bc23bb7432ebf3faec338ba421fc13cb44433bd40a6c23ab9422a";
        String e5m2 = "3abe40b1c13dbc4136c03fb8c23bbe4129c13ebb4239bf40b5c13cbd4134c03fb9c23abe40aec13dbc4137bf3fb7c13cbd4130c03eba4239bf40b3c13dbc4135";
        for (Scheme.Fp8Format format : Scheme.Fp8Format.values()) {
            float[] values = new float[65];
            for (int i = 0; i < 64; i++) {
                values[i] = 3f * x.getFloat(i);
            }
            boolean is4 = format == Scheme.Fp8Format.E4M3;
            values[64] = is4 ? 448f : 57344f;
            Tensor w = Tensor.ofFloats(Arena.ofAuto(), values, 1, 65);
            QuantizedMatrix m = engine().quantize(w, new Scheme.Fp8(format, Grouping.TENSOR), QuantizeOptions.DEFAULT, Arena.ofAuto());
            assertEquals(1f, m.scales().getFloat(0));
            assertEquals((is4 ? e4m3 : e5m2) + (is4 ? "7e" : "7b"), hex(m.codes()), format.name());
        }
    }

    private Tensor dequantized(QuantizedMatrix m) {
        return engine().dequantize(m, DType.F32, Arena.ofAuto());
    }

    /** One hex digit a code. */
    private static String codes(QuantizedMatrix m) {
        StringBuilder s = new StringBuilder();
        for (long c = 0; c < m.k(); c++) {
            s.append(Integer.toHexString(m.code(0, c)));
        }
        return s.toString();
    }

    private static String hex(Tensor t) {
        return HexFormat.of().formatHex(t.data().toArray(ValueLayout.JAVA_BYTE));
    }

    private static String sha256(Tensor t) throws NoSuchAlgorithmException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(t.data().toArray(ValueLayout.JAVA_BYTE)));
    }
}
