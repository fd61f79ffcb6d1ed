package io.lowbit.format;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * All 4,294,967,296 f32 bit patterns through the FP8 encoders, against the digests of PyTorch's casts (non-saturating) and of
 * CUDA's saturating ones with the sign of NaN kept. About a minute; not part of the usual run:
 * {@code ./mvnw test -pl tests -am -Dtest=Float8DigestTest -Dlowbit.tests.excluded=none -Dsurefire.failIfNoSpecifiedTests=false}
 */
@Tag("nightly")
class Float8DigestTest {
    private static final int CHUNK = 1 << 20;

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource({
        "E4M3, NONSATURATING, f0ca981b8f7d111cd2446d1e844d3f8b34a493306d041ae9a1a29b0436866691",
        "E4M3, SATURATE, 6bdacf27c183099101afefc897af4f71e23afef925d4589af5adef283441bcc8",
        "E5M2, NONSATURATING, 979834627e5806152dbc4f83ce85be1faf9c94583cac7ea54c4e2ee39c282c55",
        "E5M2, SATURATE, ed680416c078f03305cb8fd647872e7866a8ea7a3c7790f01a5df386ad78ef5c"})
    void everyPatternIsTheReferences(String format, Overflow overflow, String sha256) throws NoSuchAlgorithmException {
        Float8 float8 = format.equals("E4M3") ? Float8.E4M3 : Float8.E5M2;
        BulkCodec codec = Codecs.chosen().float8(float8, overflow, NanCode.SIGNED, Scaling.RECIPROCAL);
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        byte[] bytes = new byte[CHUNK];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment x = arena.allocate(4L * CHUNK, 64);
            MemorySegment codes = arena.allocate(CHUNK, 64);
            for (long first = 0; first < 1L << 32; first += CHUNK) {
                for (int i = 0; i < CHUNK; i++) {
                    x.setAtIndex(ValueLayout.JAVA_INT, i, (int) (first + i));
                }
                codec.encode(x, 0, 1f, codes, 0, CHUNK);
                MemorySegment.copy(codes, ValueLayout.JAVA_BYTE, 0, bytes, 0, CHUNK);
                digest.update(bytes);
            }
        }
        assertEquals(sha256, HexFormat.of().formatHex(digest.digest()));
    }
}
