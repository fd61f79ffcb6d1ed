package io.lowbit.cli;

import java.util.Iterator;
import java.util.Map;

/** Writes maps, lists and plain values as JSON. */
public final class Json {
    private Json() {}

    /** The document of nested maps, lists, strings, numbers, booleans and nulls; NaN and infinities become null. */
    public static String write(Object value) {
        StringBuilder out = new StringBuilder();
        append(out, value, "\n");
        return out.toString();
    }

    private static void append(StringBuilder out, Object value, String indent) {
        switch (value) {
            case null -> out.append("null");
            case Boolean b -> out.append(b);
            // JSON has no NaN and no infinities
            case Double d when !Double.isFinite(d) -> out.append("null");
            case Float f when !Float.isFinite(f) -> out.append("null");
            case Number n -> out.append(n);
            case Map<?, ?> map -> {
                String inner = indent + "  ";
                out.append('{');
                Iterator<? extends Map.Entry<?, ?>> entries = map.entrySet().iterator();
                while (entries.hasNext()) {
                    Map.Entry<?, ?> entry = entries.next();
                    out.append(inner);
                    string(out, entry.getKey().toString());
                    out.append(": ");
                    append(out, entry.getValue(), inner);
                    out.append(entries.hasNext() ? "," : indent);
                }
                out.append('}');
            }
            case Iterable<?> list -> {
                String inner = indent + "  ";
                out.append('[');
                Iterator<?> items = list.iterator();
                while (items.hasNext()) {
                    out.append(inner);
                    append(out, items.next(), inner);
                    out.append(items.hasNext() ? "," : indent);
                }
                out.append(']');
            }
            default -> string(out, value.toString());
        }
    }

    private static void string(StringBuilder out, String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    if (c < 0x20 || Character.isSurrogate(c) || c == 0x7f) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }
}
