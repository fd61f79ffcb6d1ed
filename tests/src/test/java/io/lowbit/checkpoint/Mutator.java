package io.lowbit.checkpoint;

import java.util.List;
import java.util.SplittableRandom;

/** Damages files the way that fuzzers do: bits, bytes, interesting numbers in 1 to 8 bytes, runs cut out, doubled, taken from another seed. */
final class Mutator {
    private static final long[] NUMBERS = {0, 1, -1, 2, 7, 8, 31, 32, 33, 63, 64, 127, 128, 255, 256, 4096, 65535, 65536, 99_999_999, 100_000_000, 100_000_001,
        Integer.MAX_VALUE, Integer.MIN_VALUE, 1L << 32, (1L << 32) + 1, 1L << 40, 1L << 53, (1L << 53) + 1, 1L << 60, 1L << 62, Long.MAX_VALUE, Long.MIN_VALUE};
    private static final String[] TOKENS = {"{", "}", "[", "]", "\"", ":", ",", "null", "true", "-1", "1e9", "9223372036854775807", "18446744073709551616", "0.5", "\\u0000",
        "\"shape\"", "\"dtype\"", "\"data_offsets\"", "__metadata__", "F32", "U8", "F4", "BF16", "general.alignment", "quant_method", "gptq", "awq", "bits", "group_size"};

    private final List<byte[]> seeds;
    private final SplittableRandom random;

    Mutator(List<byte[]> seeds, long seed) {
        this.seeds = seeds;
        this.random = new SplittableRandom(seed);
    }

    /** The next input: a seed with one to eight changes, most of them near its beginning, where the head is. */
    byte[] next() {
        byte[] b = seeds.get(random.nextInt(seeds.size())).clone();
        int changes = 1 + random.nextInt(random.nextInt(4) == 0 ? 8 : 2);
        for (int i = 0; i < changes; i++) {
            b = change(b);
        }
        return b;
    }

    private byte[] change(byte[] b) {
        if (b.length == 0) {
            return new byte[] {(byte) random.nextInt(256)};
        }
        int at = random.nextInt(3) == 0 ? random.nextInt(b.length) : random.nextInt(Math.min(b.length, 1200));
        return switch (random.nextInt(9)) {
            case 0 -> set(b, at, b[at] ^ 1 << random.nextInt(8));
            case 1 -> set(b, at, random.nextInt(256));
            case 2, 3 -> number(b, at);
            case 4 -> splice(b, at, random.nextInt(1, 40), new byte[0]);
            case 5 -> splice(b, at, 0, java.util.Arrays.copyOfRange(b, at, Math.min(b.length, at + random.nextInt(1, 64))));
            case 6 -> java.util.Arrays.copyOf(b, random.nextInt(b.length + 1));
            case 7 -> splice(b, at, random.nextInt(12), TOKENS[random.nextInt(TOKENS.length)].getBytes(java.nio.charset.StandardCharsets.ISO_8859_1));
            default -> {
                byte[] other = seeds.get(random.nextInt(seeds.size()));
                int from = other.length == 0 ? 0 : random.nextInt(other.length);
                yield splice(b, at, random.nextInt(64), java.util.Arrays.copyOfRange(other, from, Math.min(other.length, from + random.nextInt(1, 128))));
            }
        };
    }

    private static byte[] set(byte[] b, int at, int value) {
        b[at] = (byte) value;
        return b;
    }

    private byte[] number(byte[] b, int at) {
        long value = NUMBERS[random.nextInt(NUMBERS.length)] + (random.nextInt(4) == 0 ? random.nextInt(-2, 3) : 0);
        int width = 1 << random.nextInt(4);
        // fields are aligned as often as not
        int start = random.nextBoolean() ? at : at & -width;
        for (int i = 0; i < width && start + i < b.length; i++) {
            b[start + i] = (byte) (value >>> 8 * i);
        }
        return b;
    }

    private static byte[] splice(byte[] b, int at, int cut, byte[] in) {
        int end = Math.min(b.length, at + cut);
        byte[] out = new byte[b.length - (end - at) + in.length];
        System.arraycopy(b, 0, out, 0, at);
        System.arraycopy(in, 0, out, at, in.length);
        System.arraycopy(b, end, out, at + in.length, b.length - end);
        return out;
    }
}
