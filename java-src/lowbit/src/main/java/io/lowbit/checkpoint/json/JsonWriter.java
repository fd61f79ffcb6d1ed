package io.lowbit.checkpoint.json;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Iterator;
import java.util.Map;

/**
 * Writes JSON from {@link JsonValue}s or from plain maps, lists, strings, numbers, booleans and nulls, which may be
 * mixed. Maps keep their order. NaN and infinities, which JSON lacks, are refused.
 */
public final class JsonWriter {
    /** How the text looks. */
    public enum Style {
        /** No white space, characters beyond ASCII as they are: safetensors headers. */
        COMPACT(",", ":", false),
        /** As Python's {@code json.dumps} writes by default: {@code {"a": 1, "b": 2}}, ASCII only. */
        PYTHON(", ", ": ", true),
        /** Two spaces a level: files that people read. */
        PRETTY(",", ": ", false);

        private final String comma;
        private final String colon;
        private final boolean ascii;

        Style(String comma, String colon, boolean ascii) {
            this.comma = comma;
            this.colon = colon;
            this.ascii = ascii;
        }
    }

    private final StringBuilder out = new StringBuilder();
    private final Style style;

    private JsonWriter(Style style) {
        this.style = style;
    }

    /**
     * The value as text.
     *
     * @throws IllegalArgumentException for NaN, infinities, map keys that are not strings, and other classes
     */
    public static String write(Object value, Style style) {
        JsonWriter writer = new JsonWriter(style);
        writer.value(value, 0);
        return writer.out.toString();
    }

    /** A string in quotes, escaped; everything but printable ASCII as an escape, so it is safe in messages. */
    public static String quote(String text) {
        JsonWriter writer = new JsonWriter(Style.PYTHON);
        writer.string(text);
        return writer.out.toString();
    }

    /**
     * The shortest digits that read back as {@code value}, laid out as Python's {@code repr} does: plain from 1e-4 to
     * 1e16, else {@code 1.5e-05}.
     */
    public static String number(double value) {
        if (!Double.isFinite(value)) {
            throw new IllegalArgumentException("JSON has no " + value);
        }
        if (value == 0) {
            return 1 / value < 0 ? "-0.0" : "0.0";
        }
        BigDecimal shortest = new BigDecimal(Double.toString(Math.abs(value))).stripTrailingZeros();
        if (shortest.precision() == 2) {
            // Double.toString never gives a single digit where two are nearer; Python does: 5e-324.
            BigDecimal one = shortest.round(new MathContext(1, RoundingMode.HALF_EVEN));
            if (one.doubleValue() == Math.abs(value)) {
                shortest = one.stripTrailingZeros();
            }
        }
        String digits = shortest.unscaledValue().toString();
        int exponent = digits.length() - 1 - shortest.scale();
        StringBuilder out = new StringBuilder(value < 0 ? "-" : "");
        if (exponent < -4 || exponent >= 16) {
            out.append(digits.charAt(0));
            if (digits.length() > 1) {
                out.append('.').append(digits, 1, digits.length());
            }
            int size = Math.abs(exponent);
            return out.append(exponent < 0 ? "e-" : "e+").append(size < 10 ? "0" : "").append(size).toString();
        }
        if (exponent < 0) {
            return out.append("0.").append("0".repeat(-exponent - 1)).append(digits).toString();
        }
        if (digits.length() <= exponent + 1) {
            return out.append(digits).append("0".repeat(exponent + 1 - digits.length())).append(".0").toString();
        }
        return out.append(digits, 0, exponent + 1).append('.').append(digits, exponent + 1, digits.length()).toString();
    }

    private void value(Object value, int depth) {
        switch (value) {
            case null -> out.append("null");
            case JsonValue.Null _ -> out.append("null");
            case JsonValue.Bool b -> out.append(b.value());
            case JsonValue.Num n -> out.append(n.literal());
            case JsonValue.Text t -> string(t.value());
            case JsonValue.Array a -> list(a.items(), depth);
            case JsonObject o -> object(o.members(), depth);
            case Boolean b -> out.append(b);
            case Float f -> out.append(number(f.doubleValue()));
            case Double d -> out.append(number(d));
            case Integer i -> out.append(i);
            case Long l -> out.append(l);
            case Short s -> out.append(s);
            case Byte b -> out.append(b);
            case java.math.BigInteger b -> out.append(b);
            case CharSequence s -> string(s.toString());
            case Map<?, ?> m -> object(m, depth);
            case Iterable<?> i -> list(i, depth);
            case long[] longs -> list(java.util.Arrays.stream(longs).boxed().toList(), depth);
            default -> throw new IllegalArgumentException("no JSON for " + value.getClass().getName());
        }
    }

    private void object(Map<?, ?> members, int depth) {
        out.append('{');
        Iterator<? extends Map.Entry<?, ?>> entries = members.entrySet().iterator();
        boolean any = entries.hasNext();
        while (entries.hasNext()) {
            Map.Entry<?, ?> entry = entries.next();
            if (!(entry.getKey() instanceof String name)) {
                throw new IllegalArgumentException("a name in a JSON object is a string, not " + entry.getKey());
            }
            line(depth + 1);
            string(name);
            out.append(style.colon);
            value(entry.getValue(), depth + 1);
            if (entries.hasNext()) {
                out.append(style.comma);
            }
        }
        if (any) {
            line(depth);
        }
        out.append('}');
    }

    private void list(Iterable<?> items, int depth) {
        out.append('[');
        Iterator<?> iterator = items.iterator();
        boolean any = iterator.hasNext();
        while (iterator.hasNext()) {
            line(depth + 1);
            value(iterator.next(), depth + 1);
            if (iterator.hasNext()) {
                out.append(style.comma);
            }
        }
        if (any) {
            line(depth);
        }
        out.append(']');
    }

    private void line(int depth) {
        if (style == Style.PRETTY) {
            out.append('\n').repeat("  ", depth);
        }
    }

    private void string(String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\b' -> out.append("\\b");
                case '\f' -> out.append("\\f");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    boolean lone = Character.isSurrogate(c) && !paired(text, i);
                    if (c < 0x20 || lone || (style.ascii && c >= 0x7f)) {
                        out.append("\\u");
                        String hex = Integer.toHexString(c);
                        out.repeat("0", 4 - hex.length()).append(hex);
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }

    private static boolean paired(String text, int i) {
        return Character.isHighSurrogate(text.charAt(i))
                ? i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))
                : i > 0 && Character.isHighSurrogate(text.charAt(i - 1));
    }
}
