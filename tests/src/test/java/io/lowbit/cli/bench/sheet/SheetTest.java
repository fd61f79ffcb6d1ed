package io.lowbit.cli.bench.sheet;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** CSV, speed-ups and the comparison of two runs. */
class SheetTest {
    static Row row(String name, boolean peer, long n, long k, int m, double micros, double noise) {
        double bytes = n * k * (peer ? 2.0 : 0.5) + 2.0 * m * (n + k);
        return new Row(name, peer, "kernel of " + name, n, k, m, "cold", null, micros * 1e3, micros * 990, micros * 1020, noise, bytes, 3e12, 800e12,
                "BF16");
    }

    static Sheet sheet(Row... rows) {
        return new Sheet(Instant.parse("2026-11-25T10:00:00Z"), "a <GPU> & more", List.of("method: a < b"), "cublasLt bf16", List.of(rows));
    }

    @Test
    void speedIsOverTheSameShapeAndM() {
        Row peer = row("cublasLt bf16", true, 64, 32, 16, 20, 0.01);
        Row mine = row("int4 sym g128", false, 64, 32, 16, 5, 0.01);
        Row other = row("int4 sym g128", false, 64, 32, 1, 5, 0.01);
        Sheet sheet = sheet(peer, row("cublasLt bf16", true, 32, 64, 16, 77, 0.01), mine, other);
        assertEquals(4, sheet.speedUp(mine), 1e-12);
        assertEquals(1, sheet.speedUp(peer), 1e-12);
        assertTrue(Double.isNaN(sheet.speedUp(other)));
        assertEquals(2.0 * 16 * 64 * 32 / 5e-6, mine.rate(), 1);
        assertEquals(mine.bytes() / 3e12 / 5e-6, mine.ofRoofline(), 1e-12);
    }

    @Test
    void csvHasALineForEachCaseAndQuotesWhatItMust() {
        String[] lines = Csv.text(sheet(row("cublasLt bf16", true, 64, 32, 1, 20, 0.01),
                Row.untimed("nf4 b64", false, null, 64, 32, 1, "cold", "y[0, 1] = 2, expected \"3\""))).split("\n");
        assertEquals(3, lines.length);
        int columns = lines[0].split(",").length;
        assertEquals(columns, lines[1].split(",", -1).length);
        assertTrue(lines[1].startsWith("cublasLt bf16,true,64,32,1,cold,20.000,19.800,20.400,,0.0100,"), lines[1]);
        assertTrue(lines[2].endsWith(",,,,,,,,,,\"y[0, 1] = 2, expected \"\"3\"\"\""), lines[2]);
    }

    private static String json(String... cases) {
        return "{\"benchmark\": \"gemm\", \"when\": \"2026-11-24T00:00:00Z\", \"cases\": [" + String.join(",", cases) + "]}";
    }

    private static String earlier(String name, int m, double micros, double noise) {
        return "{\"name\": \"" + name + "\", \"n\": 64, \"k\": 32, \"m\": " + m + ", \"set\": \"cold\", \"status\": \"timed\", \"nanos\": {\"median\": "
                + micros * 1000 + "}, \"noise\": " + noise + "}";
    }

    @Test
    void comparisonMarksWhatMovedByMoreThanBothNoises() {
        Sheet now = sheet(row("a", false, 64, 32, 1, 104, 0.01), row("a", false, 64, 32, 2, 104, 0.03), row("a", false, 64, 32, 4, 90, 0.01),
                row("a", false, 64, 32, 8, 10, 0.01));
        Comparison c = Comparison.of(now, json(earlier("a", 1, 100, 0.01), earlier("a", 2, 100, 0.01), earlier("a", 4, 100, 0.01),
                earlier("b", 1, 100, 0.01), "{\"name\": \"a\", \"n\": 64, \"k\": 32, \"m\": 8, \"set\": \"cold\", \"status\": \"wrong\"}"));
        assertEquals(List.of(Comparison.Move.SLOWER, Comparison.Move.SAME, Comparison.Move.FASTER), c.lines().stream().map(Comparison.Line::move).toList());
        assertEquals(0.04, c.lines().getFirst().change(), 1e-12);
        assertEquals(0.04, c.medianChange(), 1e-12);
        assertEquals(1, c.count(Comparison.Move.FASTER));
        assertEquals(List.of("b 64x32 M=1 cold"), c.gone());
        assertEquals(List.of("a 64x32 M=8 cold"), c.fresh());
        assertEquals("2026-11-24T00:00:00Z", c.earlier());
    }

    @Test
    void comparisonRefusesWhatIsNoResult() {
        Sheet now = sheet(row("a", false, 64, 32, 1, 104, 0.01));
        for (String text : List.of("", "[]", "{}", "{\"benchmark\": \"gemm\"}", "{\"benchmark\": \"x\", \"cases\": []}")) {
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> Comparison.of(now, text), text);
            assertTrue(e.getMessage().startsWith("no result of bench gemm"), e.getMessage());
        }
        assertTrue(Double.isNaN(Comparison.of(now, json()).medianChange()));
    }

    @Test
    void membersOfAFamilyDifferInDashes() {
        List<Row> rows = new ArrayList<>();
        for (String name : List.of("int4 sym g128", "int4 asym g128", "nf4 b64", "fp8 e4m3 tensor", "fp8 e4m3 tensor w8a8")) {
            rows.add(row(name, false, 64, 32, 1, 5, 0));
        }
        Styles styles = new Styles(sheet(rows.toArray(Row[]::new)));
        assertEquals("line l-int4 d0", styles.line("int4 sym g128"));
        assertEquals("line l-int4 d1", styles.line("int4 asym g128"));
        assertEquals("line l-bnb d0", styles.line("nf4 b64"));
        assertEquals("line l-fp8 d1", styles.line("fp8 e4m3 tensor w8a8"));
        assertFalse(styles.text("nf4 b64").contains("int4"));
    }
}
