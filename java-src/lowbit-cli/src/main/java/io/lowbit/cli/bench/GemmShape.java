package io.lowbit.cli.bench;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Shape of a weight matrix {@code [N, K]}.
 *
 * @param n output features
 * @param k input features
 */
public record GemmShape(long n, long k) {
    private static final Pattern TEXT = Pattern.compile("(\\d{1,9})x(\\d{1,9})");

    public GemmShape {
        if (n < 1 || k < 1) {
            throw new IllegalArgumentException("shape " + n + "x" + k + ": expected NxK of at least 1x1");
        }
    }

    /**
     * Reads {@code 11008x4096}.
     *
     * @throws IllegalArgumentException when the text is no such shape
     */
    public static GemmShape parse(String text) {
        Matcher matcher = TEXT.matcher(text.strip());
        if (!matcher.matches()) {
            throw new IllegalArgumentException("shape '" + text + "': expected NxK such as 11008x4096");
        }
        return new GemmShape(Long.parseLong(matcher.group(1)), Long.parseLong(matcher.group(2)));
    }

    @Override
    public String toString() {
        return n + "x" + k;
    }
}
