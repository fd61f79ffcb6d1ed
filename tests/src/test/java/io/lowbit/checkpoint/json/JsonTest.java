package io.lowbit.checkpoint.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
    @ParameterizedTest
    @ValueSource(strings = {
        "", " ", "{", "}", "[", "]", "{]", "[}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1,]", "[,1]", "{,}", "[1 2]", "{\"a\":1 \"b\":2}",
        "NaN", "Infinity", "-Infinity", "nul", "nulls", "True", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "1_000", "'a'", "{a:1}",
        "\"a", "\"\t\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\uD800\"", "\"\\uDC00\"", "\"\\uD800\\uD800\"", "\"\\uD800x\"", "\"\\",
        "1 // c", "/* c */ 1", "# c\n1", "1 1", "{} {}", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "\u00a0 1", "\ufeff1", "[1]\u0000"
    })
    void refused(String text) {
        JsonException e = assertThrows(JsonException.class, () -> JsonReader.parse(text));
        assertFalse(e.getMessage().contains("\n"), e.getMessage());
        assertTrue(e.getMessage().chars().allMatch(c -> c >= 0x20 && c != 0x7f), e.getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "c080", "c1bf", "e08080", "eda080", "edbfbf", "f0808080", "f4908080", "f8888080", "80", "c3", "e282", "ff", "efbbbf31"
    })
    void bytesThatAreNotStrictUtf8AreRefused(String hex) {
        byte[] bad = java.util.HexFormat.of().parseHex(hex);
        byte[] quoted = new byte[bad.length + 2];
        quoted[0] = quoted[quoted.length - 1] = '"';
        System.arraycopy(bad, 0, quoted, 1, bad.length);
        byte[] json = hex.startsWith("efbbbf") ? bad : quoted;
        assertThrows(JsonException.class, () -> JsonReader.parse(json));
    }

    @Test
    void nestingIsLimitedAndHarmless() {
        String deep = "[".repeat(2_000_000);
        assertEquals("nested deeper than 64 at character 64", assertThrows(JsonException.class, () -> JsonReader.parse(deep)).getMessage());
        JsonReader.parse("[".repeat(64) + "]".repeat(64));
        byte[] four = "{\"a\":{\"b\":[[1]]}}".getBytes(StandardCharsets.UTF_8);
        JsonReader.parse(four, 4);
        assertThrows(JsonException.class, () -> JsonReader.parse(four, 3));
    }

    @Test
    void valuesAreExact() {
        JsonObject o = JsonReader.parseObject(
                " { \"big\" : 9223372036854775807 , \"f\":-0.1e+2,\"t\":true,\"n\":null,\"s\":\"\\u00e9\\ud83d\\ude00\\n\\/é😀\",\"l\":[1,2],\"e\":{}}\r\n\t");
        assertEquals(Long.MAX_VALUE, o.integer("big"));
        assertEquals(-10.0, o.number("f"));
        assertTrue(o.bool("t"));
        assertTrue(o.bool("n", true));
        assertEquals("é😀\n/é😀", o.text("s"));
        assertTrue(Arrays.equals(new long[] {1, 2}, o.integers("l")));
        assertEquals(List.of("big", "f", "t", "n", "s", "l", "e"), List.copyOf(o.keys()));
        assertEquals("\"big\": expected an integer of 64 bits, got 9223372036854775808", assertThrows(JsonException.class,
                () -> JsonReader.parseObject("{\"big\":9223372036854775808}").integer("big")).getMessage());
        assertThrows(JsonException.class, () -> JsonReader.parseObject("{\"a\":1.0}").integer("a"));
        assertThrows(JsonException.class, () -> JsonReader.parseObject("{\"a\":1e400}").number("a"));
        assertEquals("\"x\" is missing", assertThrows(JsonException.class, () -> o.text("x")).getMessage());
        assertEquals("\"l\": expected a string, got a list", assertThrows(JsonException.class, () -> o.text("l")).getMessage());
    }

    /** Right column: what Python 3.11's repr() prints. */
    @ParameterizedTest
    @CsvSource({
        "0.1,0.1", "1,1.0", "-2.5,-2.5", "1e16,1e+16", "9999999999999998,9999999999999998.0", "1.5e-5,1.5e-05", "0.0001,0.0001",
        "123456789012345680,1.2345678901234568e+17", "5e-324,5e-324", "2e-323,2e-323", "1.7976931348623157e308,1.7976931348623157e+308",
        "2e23,2e+23", "0.04591219127178192,0.04591219127178192", "1e-100,1e-100", "100,100.0", "-0.0,-0.0", "3e-5,3e-05"
    })
    void numbersLookAsPythonWritesThem(String literal, String expected) {
        assertEquals(expected, JsonWriter.number(Double.parseDouble(literal)));
    }

    @Test
    void stylesAndEscapes() {
        Map<String, Object> map = new java.util.LinkedHashMap<>();
        map.put("a", List.of(1, 2L, 0.5f));
        map.put("é\u0001\"", "😀\u007f");
        map.put("o", Map.of());
        assertEquals("{\"a\":[1,2,0.5],\"é\\u0001\\\"\":\"😀\u007f\",\"o\":{}}", JsonWriter.write(map, JsonWriter.Style.COMPACT));
        assertEquals("{\"a\": [1, 2, 0.5], \"\\u00e9\\u0001\\\"\": \"\\ud83d\\ude00\\u007f\", \"o\": {}}",
                JsonWriter.write(map, JsonWriter.Style.PYTHON));
        assertEquals("{\n  \"a\": [\n    1,\n    2,\n    0.5\n  ],\n  \"é\\u0001\\\"\": \"😀\u007f\",\n  \"o\": {}\n}",
                JsonWriter.write(map, JsonWriter.Style.PRETTY));
        assertThrows(IllegalArgumentException.class, () -> JsonWriter.write(Double.NaN, JsonWriter.Style.COMPACT));
        String text = "{\"a\":[1,-2.50,1e9,true,null],\"b\":{\"c\":\"x\"}}";
        assertEquals(text, JsonWriter.write(JsonReader.parse(text), JsonWriter.Style.COMPACT));
    }
}
