package io.lowbit.format;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** All 65,536 bf16 bit patterns through each encoder: against the stored codes and the published digests. */
@Tag("widths")
class Bf16SweepTest {
    private interface Encode {
        int of(float x);
    }

    static Stream<Arguments> sweeps() {
        Codecs codecs = Codecs.chosen();
        return Stream.of(
                fp8("e4m3fn_nosat", "ecbb201b2182a3e8e84f521d57c51ff379e8e5ec61141119005be7d672db0d98", Float8.E4M3, Overflow.NONSATURATING),
                fp8("e4m3fn_sat", "556222ae80c3498b4da64795f283e77962f1045e2525faaededd4e0a5b1ae212", Float8.E4M3, Overflow.SATURATE),
                fp8("e5m2_nosat", "875dd70a7c02e2f8dd7ba693a8764c02ec0242f5849d693f3e8e48f9f21d9ff7", Float8.E5M2, Overflow.NONSATURATING),
                fp8("e5m2_sat", "bd44828554535a84e590b2edbcf4fd86827bbc30b47efd62e4db3bc7c955dad5", Float8.E5M2, Overflow.SATURATE),
                Arguments.of("e2m1", "8692da74cf3cf29ca68d089fddad64b688c3323bf21671f2eed3283906fc046f", (Encode) E2M1::encode,
                        codecs.e2m1(NanCode.CANONICAL)),
                Arguments.of("nf4_y", "6444eeef9864aa0413566eac3efe038b0536c4c4f64479801d6b2335ab02718b", (Encode) Nf4::encode, codecs.nf4()),
                Arguments.of("bnbfp4_y", "8598373460b2685c11a204fda84bf87a8262319723642a0070acef2aa058e5eb", (Encode) BnbFp4::encode,
                        codecs.bnbFp4()));
    }

    private static Arguments fp8(String name, String sha256, Float8 format, Overflow overflow) {
        return Arguments.of(name, sha256, (Encode) x -> format.encode(x, overflow, NanCode.SIGNED),
                Codecs.chosen().float8(format, overflow, NanCode.SIGNED, Scaling.RECIPROCAL));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("sweeps")
    void equalsTheReference(String name, String sha256, Encode encode, BulkCodec codec) throws IOException {
        byte[] expected = Files.readAllBytes(GoldenFile.folder().resolve("bf16_" + name + ".bin"));
        assertEquals(65536, expected.length);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment x = arena.allocate(4 * 65536);
            byte[] scalar = new byte[65536];
            for (int i = 0; i < 65536; i++) {
                x.set(ValueLayout.JAVA_INT_UNALIGNED, 4L * i, i << 16);
                scalar[i] = (byte) encode.of(Float.intBitsToFloat(i << 16));
                assertEquals(expected[i], scalar[i], "bf16 pattern 0x" + Integer.toHexString(i));
            }
            assertEquals(sha256, DecodeTablesTest.sha256(scalar));
            MemorySegment codes = arena.allocate(65536);
            codec.encode(x, 0, 1f, codes, 0, 65536);
            assertEquals(sha256, DecodeTablesTest.sha256(codes.toArray(ValueLayout.JAVA_BYTE)), "in bulk");
        }
    }
}
