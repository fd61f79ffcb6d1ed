package io.lowbit.format;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every decode table, bit for bit: the scalar definition and the bulk codec of this JVM's width. */
@Tag("widths")
class DecodeTablesTest {
    private interface Decode {
        float of(int code);
    }

    static Stream<Arguments> tables() {
        Codecs codecs = Codecs.chosen();
        return Stream.of(
                Arguments.of("float8_e4m3fn", (Decode) Float8.E4M3::decode, fp8(codecs, Float8.E4M3)),
                Arguments.of("float8_e5m2", (Decode) Float8.E5M2::decode, fp8(codecs, Float8.E5M2)),
                Arguments.of("float8_e8m0fnu", (Decode) E8M0::decode, null),
                Arguments.of("float4_e2m1fn", (Decode) E2M1::decode, codecs.e2m1(NanCode.CANONICAL)),
                Arguments.of("bnb_nf4", (Decode) Nf4::decode, codecs.nf4()),
                Arguments.of("bnb_nf4_cuda_decoded", (Decode) Nf4::decode, codecs.nf4()),
                Arguments.of("bnb_nf4_cpu_decoded", (Decode) Nf4::decode, codecs.nf4()),
                // bitsandbytes' stored table has +0 at code 8, its kernels decode it to -0: the kernels decide
                Arguments.of("bnb_fp4_cuda_decoded", (Decode) BnbFp4::decode, codecs.bnbFp4()),
                Arguments.of("bnb_fp4_cpu_decoded", (Decode) BnbFp4::decode, codecs.bnbFp4()),
                Arguments.of("bnb_dynamic8", (Decode) DynamicMap::decode, null));
    }

    private static BulkCodec fp8(Codecs codecs, Float8 format) {
        return codecs.float8(format, Overflow.SATURATE, NanCode.CANONICAL, Scaling.DIVIDE);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("tables")
    void equalsTheReference(String name, Decode decode, BulkCodec codec) {
        float[] expected = GoldenFile.open("codes.safetensors").get(name).toFloats();
        for (int code = 0; code < expected.length; code++) {
            assertEquals(bits(expected[code]), bits(decode.of(code)), name + " code " + code);
        }
        if (codec != null) {
            float[] bulk = decodeAll(codec, expected.length);
            for (int code = 0; code < expected.length; code++) {
                assertEquals(bits(expected[code]), bits(bulk[code]), name + " code " + code + " in bulk");
            }
        }
    }

    @Test
    void storedFp4TableDiffersInTheSignOfOneZeroOnly() {
        float[] stored = GoldenFile.open("codes.safetensors").get("bnb_fp4").toFloats();
        for (int code = 0; code < 16; code++) {
            int expected = code == 8 ? 0x80000000 : Float.floatToRawIntBits(stored[code]);
            assertEquals(expected, Float.floatToRawIntBits(BnbFp4.decode(code)), "code " + code);
        }
    }

    static Stream<Arguments> digests() {
        return Stream.of(
                Arguments.of("E4M3", "fbfd40716d3eddc590ca82a86c34208d486f88eb69e6a04dbfc62b158dec4d2f", (Decode) Float8.E4M3::decode),
                Arguments.of("E5M2", "e119e01810d2e0b12e435d3b12fc0a09a0d185442237494c1731ed1aedd7e4b5", (Decode) Float8.E5M2::decode),
                Arguments.of("E8M0", "2fb2732a956043772ccd2c1664ae5d2558c62f9c06780c04d95f1ff0050f2f2f", (Decode) E8M0::decode),
                Arguments.of("dynamic map", "e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c", (Decode) DynamicMap::decode));
    }

    /** Digests of 256 little-endian f32, NaN as 0x7fc00000 with its sign. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("digests")
    void digestOfTheTable(String name, String sha256, Decode decode) {
        ByteBuffer bytes = ByteBuffer.allocate(1024).order(ByteOrder.LITTLE_ENDIAN);
        for (int code = 0; code < 256; code++) {
            bytes.putFloat(decode.of(code));
        }
        assertEquals(sha256, sha256(bytes.array()));
    }

    @Test
    void dynamicMapIsTheOneThatPyTorchGivesWithAvx2() throws IOException {
        float[] map = DynamicMap.values();
        ByteBuffer bytes = ByteBuffer.allocate(1024).order(ByteOrder.LITTLE_ENDIAN);
        for (float v : map) {
            bytes.putFloat(v);
        }
        assertArrayEquals(Files.readAllBytes(GoldenFile.folder().resolve("bnb_dynamic_map_x86_avx2.f32le")), bytes.array());
    }

    static float[] decodeAll(BulkCodec codec, int count) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment codes = arena.allocate(count);
            for (int i = 0; i < count; i++) {
                codes.set(ValueLayout.JAVA_BYTE, i, (byte) i);
            }
            MemorySegment out = arena.allocate(4L * count);
            codec.decode(codes, 0, 1f, out, 0, count);
            return out.toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
        }
    }

    static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("this JDK lacks SHA-256", e);
        }
    }

    /** Raw bits, all NaNs of a sign taken as one: the references hold several payloads. */
    static int bits(float value) {
        int u = Float.floatToRawIntBits(value);
        return value != value ? u & 0x80000000 | 0x7fc00000 : u;
    }
}
