package io.lowbit.checkpoint.json;

/** A JSON value, immutable. Switch over the records, or ask {@link JsonObject}'s typed getters. */
public sealed interface JsonValue permits JsonObject, JsonValue.Array, JsonValue.Bool, JsonValue.Null, JsonValue.Num, JsonValue.Text {
    /** {@code true} or {@code false}. */
    record Bool(boolean value) implements JsonValue {}

    /** {@code null}. */
    record Null() implements JsonValue {}

    /** A string, without its quotes and escapes; never holds a lone surrogate. */
    record Text(String value) implements JsonValue {}

    /** A list. */
    record Array(java.util.List<JsonValue> items) implements JsonValue {
        public Array {
            items = java.util.List.copyOf(items);
        }

        public int size() {
            return items.size();
        }

        public JsonValue get(int index) {
            return items.get(index);
        }
    }

    /**
     * A number as it was written, so that nothing is lost: 64-bit integers stay exact.
     *
     * @param literal by RFC 8259's grammar
     */
    record Num(String literal) implements JsonValue {
        /** True for a literal without fraction and exponent: {@code 12}, not {@code 12.0} or {@code 1e3}. */
        public boolean isInteger() {
            for (int i = 0; i < literal.length(); i++) {
                char c = literal.charAt(i);
                if (c == '.' || c == 'e' || c == 'E') {
                    return false;
                }
            }
            return true;
        }

        /**
         * The exact integer.
         *
         * @throws JsonException when it has a fraction or exponent, or does not fit a {@code long}
         */
        public long longValue() {
            if (!isInteger()) {
                throw new JsonException("expected an integer, got " + shown());
            }
            try {
                return Long.parseLong(literal);
            } catch (NumberFormatException e) {
                throw new JsonException("expected an integer of 64 bits, got " + shown());
            }
        }

        /**
         * The nearest double.
         *
         * @throws JsonException beyond the range of a double
         */
        public double doubleValue() {
            double value = Double.parseDouble(literal);
            if (Double.isInfinite(value)) {
                throw new JsonException("expected a number in the range of a double, got " + shown());
            }
            return value;
        }

        private String shown() {
            return literal.length() <= 40 ? literal : literal.substring(0, 40) + "…";
        }
    }

    /** What kind this is, for messages: {@code a string}, {@code an object} … */
    default String kind() {
        return switch (this) {
            case Bool _ -> "a boolean";
            case Null _ -> "null";
            case Text _ -> "a string";
            case Num _ -> "a number";
            case Array _ -> "a list";
            case JsonObject _ -> "an object";
        };
    }
}
