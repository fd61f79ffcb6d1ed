package io.lowbit.llm.calibrate;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.SplittableRandom;

/**
 * The token windows a calibration runs on.
 *
 * @param windows each of the same length
 * @param seed the seed that chose them
 * @param sha256 of all tokens in order, as little-endian 32-bit integers: names the very text in a manifest
 */
public record CalibrationText(int[][] windows, long seed, String sha256) {
    /**
     * Chooses {@code samples} windows of {@code length} tokens out of those that lie end to end in {@code stream}: seed 0 takes
     * the first ones, another seed a random choice, in the order of the stream.
     *
     * @throws IllegalArgumentException where the stream holds fewer
     */
    public static CalibrationText sample(int[] stream, int samples, int length, long seed) {
        int there = stream.length / length;
        if (samples < 1 || samples > there) {
            throw new IllegalArgumentException(samples + " windows of " + length + " tokens out of " + stream.length + ": expected 1 to " + there
                    + "; give more text, or fewer or shorter windows");
        }
        int[] chosen = new int[there];
        Arrays.setAll(chosen, i -> i);
        if (seed != 0) {
            SplittableRandom random = new SplittableRandom(seed);
            for (int i = 0; i < samples; i++) {
                int j = random.nextInt(i, there);
                int swapped = chosen[i];
                chosen[i] = chosen[j];
                chosen[j] = swapped;
            }
            Arrays.sort(chosen, 0, samples);
        }
        int[][] windows = new int[samples][];
        for (int i = 0; i < samples; i++) {
            windows[i] = Arrays.copyOfRange(stream, chosen[i] * length, (chosen[i] + 1) * length);
        }
        return new CalibrationText(windows, seed, hash(windows));
    }

    /** Tokens of a window. */
    public int length() {
        return windows[0].length;
    }

    private static String hash(int[][] windows) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (int[] window : windows) {
                ByteBuffer bytes = ByteBuffer.allocate(4 * window.length).order(ByteOrder.LITTLE_ENDIAN);
                bytes.asIntBuffer().put(window);
                digest.update(bytes);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
