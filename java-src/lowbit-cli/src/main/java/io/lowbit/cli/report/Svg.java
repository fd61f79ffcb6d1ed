package io.lowbit.cli.report;

import java.util.Locale;

/** Small helpers for SVG and HTML text. */
public final class Svg {
    private Svg() {}

    /** {@code String.format} in the root locale. */
    public static String format(String pattern, Object... args) {
        return String.format(Locale.ROOT, pattern, args);
    }

    /** Text made safe for element content and attributes; characters that XML forbids become U+FFFD. */
    public static String escape(String text) {
        StringBuilder out = new StringBuilder(text.length() + 16);
        text.codePoints().forEach(c -> {
            switch (c) {
                case '&' -> out.append("&amp;");
                case '<' -> out.append("&lt;");
                case '>' -> out.append("&gt;");
                case '"' -> out.append("&quot;");
                case '\'' -> out.append("&#39;");
                default -> {
                    boolean legal = c == '\n' || c == '\t' || c == '\r' || (c >= 0x20 && c < 0xd800)
                            || (c >= 0xe000 && c < 0xfffe) || c >= 0x10000;
                    out.appendCodePoint(legal ? c : 0xfffd);
                }
            }
        });
        return out.toString();
    }

    /** A text element. */
    public static String text(double x, double y, String css, String anchor, String content) {
        return format("<text x='%.1f' y='%.1f' class='%s' text-anchor='%s'>", x, y, css, anchor) + escape(content) + "</text>";
    }
}
