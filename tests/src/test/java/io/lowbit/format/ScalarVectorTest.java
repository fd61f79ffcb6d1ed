package io.lowbit.format;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.simd.Simd;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The bulk codecs of this JVM's width against the scalar definition, bit for bit: random bit patterns of all kinds,
 * every length around a vector's, unaligned offsets, and nothing written outside the run.
 */
@Tag("widths")
class ScalarVectorTest {
    private static final int LENGTH = 4_000;

    private record Pair(String name, BulkCodec scalar, BulkCodec chosen, int codes) {}

    static Stream<Arguments> codecs() {
        List<Pair> pairs = new ArrayList<>();
        Codecs s = Codecs.scalar();
        Codecs c = Codecs.chosen();
        pairs.add(new Pair("nf4", s.nf4(), c.nf4(), 16));
        pairs.add(new Pair("bitsandbytes fp4", s.bnbFp4(), c.bnbFp4(), 16));
        for (NanCode nan : NanCode.values()) {
            pairs.add(new Pair("e2m1 " + nan, s.e2m1(nan), c.e2m1(nan), 16));
            for (Float8 format : Float8.values()) {
                for (Overflow overflow : Overflow.values()) {
                    for (Scaling scaling : Scaling.values()) {
                        pairs.add(new Pair(format + " " + overflow + " " + nan + " " + scaling, s.float8(format, overflow, nan, scaling),
                                c.float8(format, overflow, nan, scaling), 256));
                    }
                }
            }
        }
        for (int zero = 0; zero < 16; zero++) {
            pairs.add(new Pair("int4 zero " + zero, s.int4(zero), c.int4(zero), 16));
        }
        long seed = 20261124;
        return pairs.stream().map(p -> Arguments.of(p.name, seed, p));
    }

    @ParameterizedTest(name = "{0}, seed {1}")
    @MethodSource("codecs")
    void sameBits(String name, long seed, Pair pair) {
        SplittableRandom random = new SplittableRandom(seed);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment x = inputs(arena, random);
            float[] scales = {1f, 0.37f, 3.0e-3f, 1.7e5f, 0x1p-126f, 0x1p127f, 0f};
            for (float scale : scales) {
                compareEncode(pair, arena, x, 0, scale, LENGTH);
                compareDecode(pair, arena, random, 0, scale, LENGTH);
            }
            for (int length = 0; length <= 70; length++) {
                int offset = random.nextInt(1, 40);
                compareEncode(pair, arena, x, offset, 0.01f, length);
                compareDecode(pair, arena, random, offset, 0.01f, length);
            }
        }
    }

    private static void compareEncode(Pair pair, Arena arena, MemorySegment x, int offset, float scale, int length) {
        MemorySegment expected = arena.allocate(offset + length + 64).fill((byte) 0x55);
        MemorySegment actual = arena.allocate(offset + length + 64).fill((byte) 0x55);
        pair.scalar.encode(x, offset, scale, expected, offset, length);
        pair.chosen.encode(x, offset, scale, actual, offset, length);
        long at = expected.mismatch(actual);
        if (at >= 0) {
            int u = at >= offset && at < offset + length ? x.get(ValueLayout.JAVA_INT_UNALIGNED, offset + 4 * (at - offset)) : 0;
            assertEquals(expected.get(ValueLayout.JAVA_BYTE, at), actual.get(ValueLayout.JAVA_BYTE, at), pair.name + ", width " + Simd.width()
                    + ", scale " + scale + ", length " + length + ", byte " + (at - offset) + ", input 0x" + Integer.toHexString(u));
        }
    }

    private static void compareDecode(Pair pair, Arena arena, SplittableRandom random, int offset, float scale, int length) {
        MemorySegment codes = arena.allocate(offset + length + 64);
        for (int i = 0; i < length; i++) {
            codes.set(ValueLayout.JAVA_BYTE, offset + i, (byte) random.nextInt(pair.codes));
        }
        MemorySegment expected = arena.allocate(offset + 4L * length + 64).fill((byte) 0x55);
        MemorySegment actual = arena.allocate(offset + 4L * length + 64).fill((byte) 0x55);
        pair.scalar.decode(codes, offset, scale, expected, offset, length);
        pair.chosen.decode(codes, offset, scale, actual, offset, length);
        assertEquals(-1, expected.mismatch(actual), pair.name + ", width " + Simd.width() + ", decode, scale " + scale + ", length " + length);
    }

    /** A third raw bits, a third near the formats' own ranges, the rest specials and midpoints. */
    private static MemorySegment inputs(Arena arena, SplittableRandom random) {
        MemorySegment x = arena.allocate(4L * LENGTH + 64);
        int[] specials = {0, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xff800123, 1, 0x80000001, 0x007fffff,
            0x00800000, 0x7f7fffff, 0xff7fffff};
        for (int i = 0; i < LENGTH; i++) {
            int u = switch (i % 4) {
                case 0 -> random.nextInt();
                case 1 -> Float.floatToRawIntBits((float) random.nextGaussian());
                case 2 -> Float.floatToRawIntBits(random.nextInt(-64, 65) * Math.scalb(0.25f, random.nextInt(-16, 12))) + random.nextInt(-1, 2);
                default -> specials[random.nextInt(specials.length)];
            };
            x.set(ValueLayout.JAVA_INT_UNALIGNED, 4L * i, u);
        }
        return x;
    }

    @Test
    void rangeSeed20261124() {
        SplittableRandom random = new SplittableRandom(20261124);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment x = inputs(arena, random);
            for (int length = 0; length < 200; length++) {
                long offset = 4L * random.nextInt(LENGTH - 200) + random.nextInt(4);
                assertEquals(Codecs.scalar().range(x, offset, length), Codecs.chosen().range(x, offset, length), "length " + length);
            }
        }
    }

    /** Both 16-bit types: all patterns widened, and each widened value with its neighbours narrowed. NaN by sign only. */
    @Test
    void halves() {
        try (Arena arena = Arena.ofConfined()) {
            int count = 65536;
            MemorySegment halves = arena.allocate(2L * count + 2);
            for (int i = 0; i < count; i++) {
                halves.set(ValueLayout.JAVA_SHORT_UNALIGNED, 2L * i, (short) i);
            }
            MemorySegment a = arena.allocate(4L * count);
            MemorySegment b = arena.allocate(4L * count);
            MemorySegment c = arena.allocate(2L * count);
            MemorySegment d = arena.allocate(2L * count);
            for (boolean f16 : new boolean[] {true, false}) {
                widen(Codecs.scalar(), f16, halves, a, count);
                widen(Codecs.chosen(), f16, halves, b, count);
                for (int i = 0; i < count; i++) {
                    assertEquals(DecodeTablesTest.bits(a.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i)),
                            DecodeTablesTest.bits(b.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i)), (f16 ? "F16 0x" : "BF16 0x") + Integer.toHexString(i));
                }
                int halfStep = f16 ? 0x1000 : 0x8000;
                for (int nudge : new int[] {0, halfStep - 1, halfStep, halfStep + 1}) {
                    for (int i = 0; i < count; i++) {
                        b.set(ValueLayout.JAVA_INT_UNALIGNED, 4L * i, a.get(ValueLayout.JAVA_INT_UNALIGNED, 4L * i) + nudge);
                    }
                    narrow(Codecs.scalar(), f16, b, c, count);
                    narrow(Codecs.chosen(), f16, b, d, count);
                    for (int i = 0; i < count; i++) {
                        assertEquals(canonical(c, i, f16), canonical(d, i, f16), "to " + (f16 ? "F16" : "BF16") + " of 0x"
                                + Integer.toHexString(b.get(ValueLayout.JAVA_INT_UNALIGNED, 4L * i)));
                    }
                }
            }
        }
    }

    private static int canonical(MemorySegment s, int i, boolean f16) {
        int h = s.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2L * i) & 0xffff;
        int infinity = f16 ? 0x7c00 : 0x7f80;
        return (h & 0x7fff) > infinity ? h & 0x8000 | 0x7fff : h;
    }

    private static void widen(Codecs codecs, boolean f16, MemorySegment from, MemorySegment to, int count) {
        if (f16) {
            codecs.widenF16(from, 0, to, 0, count);
        } else {
            codecs.widenBf16(from, 0, to, 0, count);
        }
    }

    private static void narrow(Codecs codecs, boolean f16, MemorySegment from, MemorySegment to, int count) {
        if (f16) {
            codecs.narrowF16(from, 0, to, 0, count);
        } else {
            codecs.narrowBf16(from, 0, to, 0, count);
        }
    }
}
