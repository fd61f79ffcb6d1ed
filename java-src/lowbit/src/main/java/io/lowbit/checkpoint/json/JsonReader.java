package io.lowbit.checkpoint.json;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads RFC 8259 and nothing more: no comments, no NaN, no trailing commas. Beyond the RFC it refuses what parsers
 * disagree about: a name twice in one object, escaped lone surrogates, a byte order mark. Nesting is limited, so the
 * stack is never in danger.
 */
public final class JsonReader {
    /** Nesting that {@link #parse(byte[])} takes; real configurations stay below 10. */
    public static final int DEFAULT_DEPTH = 64;

    private static final JsonValue.Null NULL = new JsonValue.Null();

    private final String text;
    private final int maxDepth;
    private int at;

    private JsonReader(String text, int maxDepth) {
        this.text = text;
        this.maxDepth = maxDepth;
    }

    /** {@link #parse(byte[], int)} with {@link #DEFAULT_DEPTH}. */
    public static JsonValue parse(byte[] utf8) {
        return parse(utf8, DEFAULT_DEPTH);
    }

    /**
     * One JSON document in strict UTF-8 (no overlong forms, no surrogates, no byte order mark).
     *
     * @param maxDepth objects and lists inside each other, at least 1
     * @throws JsonException naming the position and the fault
     */
    public static JsonValue parse(byte[] utf8, int maxDepth) {
        return parse(decode(utf8), maxDepth);
    }

    /** One JSON document. */
    public static JsonValue parse(String text) {
        return parse(text, DEFAULT_DEPTH);
    }

    /** A document that must be an object, as configurations are. */
    public static JsonObject parseObject(byte[] utf8) {
        return asObject(parse(utf8));
    }

    /** A document that must be an object: one line of a .jsonl file. */
    public static JsonObject parseObject(String text) {
        return asObject(parse(text));
    }

    private static JsonObject asObject(JsonValue value) {
        if (value instanceof JsonObject object) {
            return object;
        }
        throw new JsonException("expected a JSON object, got " + value.kind());
    }

    private static JsonValue parse(String text, int maxDepth) {
        JsonReader reader = new JsonReader(text, maxDepth);
        reader.space();
        JsonValue value = reader.value(0);
        reader.space();
        if (reader.at < text.length()) {
            throw reader.wrong("nothing more after the document");
        }
        return value;
    }

    private static String decode(byte[] utf8) {
        if (utf8.length >= 3 && utf8[0] == (byte) 0xef && utf8[1] == (byte) 0xbb && utf8[2] == (byte) 0xbf) {
            throw new JsonException("not JSON: it starts with a byte order mark");
        }
        // Judged in pieces and only then turned into a string: large headers are not held as 16-bit characters.
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT);
        ByteBuffer in = ByteBuffer.wrap(utf8);
        CharBuffer scratch = CharBuffer.allocate(4096);
        CoderResult result;
        do {
            scratch.clear();
            result = decoder.decode(in, scratch, true);
        } while (result.isOverflow());
        if (result.isError()) {
            throw new JsonException("not UTF-8 at byte " + in.position());
        }
        return new String(utf8, StandardCharsets.UTF_8);
    }

    private JsonValue value(int depth) {
        if (at >= text.length()) {
            throw wrong("a value");
        }
        return switch (text.charAt(at)) {
            case '{' -> object(deeper(depth));
            case '[' -> array(deeper(depth));
            case '"' -> new JsonValue.Text(string());
            case 't' -> word("true", new JsonValue.Bool(true));
            case 'f' -> word("false", new JsonValue.Bool(false));
            case 'n' -> word("null", NULL);
            case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9' -> number();
            default -> throw wrong("a value");
        };
    }

    private int deeper(int depth) {
        if (depth >= maxDepth) {
            throw new JsonException("nested deeper than " + maxDepth + " at character " + at);
        }
        return depth + 1;
    }

    private JsonObject object(int depth) {
        Map<String, JsonValue> members = new LinkedHashMap<>();
        at++;
        space();
        if (peek() == '}') {
            at++;
            return new JsonObject(members);
        }
        while (true) {
            if (peek() != '"') {
                throw wrong("a name in quotes");
            }
            int start = at;
            String name = string();
            space();
            expect(':', "':'");
            space();
            JsonValue value = value(depth);
            if (members.put(name, value) != null) {
                throw new JsonException("the name " + quoted(name) + " comes twice, again at character " + start);
            }
            space();
            if (peek() == '}') {
                at++;
                return new JsonObject(members);
            }
            expect(',', "',' or '}'");
            space();
        }
    }

    private JsonValue.Array array(int depth) {
        List<JsonValue> items = new ArrayList<>();
        at++;
        space();
        if (peek() == ']') {
            at++;
            return new JsonValue.Array(items);
        }
        while (true) {
            items.add(value(depth));
            space();
            if (peek() == ']') {
                at++;
                return new JsonValue.Array(items);
            }
            expect(',', "',' or ']'");
            space();
        }
    }

    private String string() {
        int start = ++at;
        StringBuilder out = null;
        while (true) {
            int c = peek();
            if (c < 0) {
                throw wrong("the end of a string");
            }
            if (c == '"') {
                String tail = text.substring(start, at++);
                return out == null ? tail : out.append(tail).toString();
            }
            if (c < 0x20) {
                throw wrong("an escape instead of a control character in a string");
            }
            if (c != '\\') {
                at++;
                continue;
            }
            if (out == null) {
                out = new StringBuilder();
            }
            out.append(text, start, at++);
            escape(out);
            start = at;
        }
    }

    private void escape(StringBuilder out) {
        int c = peek();
        at++;
        switch (c) {
            case '"', '\\', '/' -> out.append((char) c);
            case 'b' -> out.append('\b');
            case 'f' -> out.append('\f');
            case 'n' -> out.append('\n');
            case 'r' -> out.append('\r');
            case 't' -> out.append('\t');
            case 'u' -> {
                char first = hex4();
                if (Character.isHighSurrogate(first)) {
                    if (peek() != '\\' || at + 1 >= text.length() || text.charAt(at + 1) != 'u') {
                        throw wrong("the second half of a surrogate pair");
                    }
                    at += 2;
                    char second = hex4();
                    if (!Character.isLowSurrogate(second)) {
                        at -= 4;
                        throw wrong("the second half of a surrogate pair");
                    }
                    out.append(first).append(second);
                } else if (Character.isLowSurrogate(first)) {
                    at -= 4;
                    throw wrong("no lone surrogate");
                } else {
                    out.append(first);
                }
            }
            default -> {
                at--;
                throw wrong("an escape of JSON");
            }
        }
    }

    private char hex4() {
        int value = 0;
        for (int i = 0; i < 4; i++) {
            int c = peek();
            int digit = c >= 0 && c < 0x80 ? Character.digit(c, 16) : -1;
            if (digit < 0) {
                throw wrong("four hexadecimal digits");
            }
            value = value << 4 | digit;
            at++;
        }
        return (char) value;
    }

    private JsonValue.Num number() {
        int start = at;
        if (peek() == '-') {
            at++;
        }
        if (peek() == '0') {
            at++;
        } else {
            digits();
        }
        if (peek() == '.') {
            at++;
            digits();
        }
        if (peek() == 'e' || peek() == 'E') {
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            digits();
        }
        return new JsonValue.Num(text.substring(start, at));
    }

    private void digits() {
        if (peek() < '0' || peek() > '9') {
            throw wrong("a digit");
        }
        while (peek() >= '0' && peek() <= '9') {
            at++;
        }
    }

    private JsonValue word(String word, JsonValue value) {
        if (!text.startsWith(word, at)) {
            throw wrong("a value");
        }
        at += word.length();
        return value;
    }

    private void space() {
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
                return;
            }
            at++;
        }
    }

    private int peek() {
        return at < text.length() ? text.charAt(at) : -1;
    }

    private void expect(char c, String what) {
        if (peek() != c) {
            throw wrong(what);
        }
        at++;
    }

    private JsonException wrong(String expected) {
        String found = at >= text.length() ? "the end" : quoted(text.substring(at, Math.min(text.length(), at + 1)));
        return new JsonException("not JSON: expected " + expected + " at character " + at + ", found " + found);
    }

    /** A name as a message may show it: in quotes, cut, and without control characters. */
    private static String quoted(String name) {
        return JsonWriter.quote(name.length() <= 80 ? name : name.substring(0, 80) + "…");
    }
}
