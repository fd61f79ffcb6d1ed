package io.lowbit.checkpoint.json;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A JSON object in the order of its text. The typed getters throw {@link JsonException} naming the key, what was
 * expected and what came; those with a default take it where the key is absent or {@code null}, as configurations
 * mean it.
 *
 * @param members names and values, each name once
 */
public record JsonObject(Map<String, JsonValue> members) implements JsonValue {
    public JsonObject {
        members = Collections.unmodifiableMap(new LinkedHashMap<>(members));
    }

    public boolean has(String key) {
        return !absent(key);
    }

    /** Null where there is no such key. */
    public JsonValue get(String key) {
        return members.get(key);
    }

    public Set<String> keys() {
        return members.keySet();
    }

    public String text(String key) {
        return switch (required(key)) {
            case Text t -> t.value();
            case JsonValue other -> throw wrong(key, "a string", other);
        };
    }

    public String text(String key, String otherwise) {
        return absent(key) ? otherwise : text(key);
    }

    /** An exact integer; {@code 1.0} and {@code 1e3} are refused. */
    public long integer(String key) {
        if (required(key) instanceof Num n) {
            try {
                return n.longValue();
            } catch (JsonException e) {
                throw new JsonException("\"" + key + "\": " + e.getMessage());
            }
        }
        throw wrong(key, "an integer", get(key));
    }

    public long integer(String key, long otherwise) {
        return absent(key) ? otherwise : integer(key);
    }

    public double number(String key) {
        if (required(key) instanceof Num n) {
            try {
                return n.doubleValue();
            } catch (JsonException e) {
                throw new JsonException("\"" + key + "\": " + e.getMessage());
            }
        }
        throw wrong(key, "a number", get(key));
    }

    public double number(String key, double otherwise) {
        return absent(key) ? otherwise : number(key);
    }

    public boolean bool(String key) {
        return switch (required(key)) {
            case Bool b -> b.value();
            case JsonValue other -> throw wrong(key, "true or false", other);
        };
    }

    public boolean bool(String key, boolean otherwise) {
        return absent(key) ? otherwise : bool(key);
    }

    public JsonObject object(String key) {
        return switch (required(key)) {
            case JsonObject o -> o;
            case JsonValue other -> throw wrong(key, "an object", other);
        };
    }

    public List<JsonValue> list(String key) {
        return switch (required(key)) {
            case Array a -> a.items();
            case JsonValue other -> throw wrong(key, "a list", other);
        };
    }

    /** A list of exact integers. */
    public long[] integers(String key) {
        List<JsonValue> items = list(key);
        long[] out = new long[items.size()];
        for (int i = 0; i < out.length; i++) {
            if (!(items.get(i) instanceof Num n)) {
                throw wrong(key, "a list of integers", items.get(i));
            }
            try {
                out[i] = n.longValue();
            } catch (JsonException e) {
                throw new JsonException("\"" + key + "\": " + e.getMessage());
            }
        }
        return out;
    }

    /** A list of strings. */
    public List<String> texts(String key) {
        List<String> out = new ArrayList<>();
        for (JsonValue item : list(key)) {
            if (!(item instanceof Text t)) {
                throw wrong(key, "a list of strings", item);
            }
            out.add(t.value());
        }
        return out;
    }

    private boolean absent(String key) {
        JsonValue value = members.get(key);
        return value == null || value instanceof Null;
    }

    private JsonValue required(String key) {
        JsonValue value = members.get(key);
        if (value == null) {
            throw new JsonException("\"" + key + "\" is missing");
        }
        return value;
    }

    private static JsonException wrong(String key, String expected, JsonValue got) {
        return new JsonException("\"" + key + "\": expected " + expected + ", got " + got.kind());
    }
}
