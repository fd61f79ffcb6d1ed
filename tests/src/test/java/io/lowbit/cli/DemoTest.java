package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cli.demo.Demo;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.xml.sax.InputSource;

/** The demo with a small budget: the same steps, fewer tokens. */
class DemoTest {
    @Tag("sources")
    @Test
    void measuresSchemesWritesTextAndTheReport(@TempDir Path folder) throws Exception {
        Path page = folder.resolve("page.html");
        Cli run = Cli.run("demo", "--windows", "1", "--max-tokens", "3", "--report", page.toString(),
                "--scheme", "int4 sym g128", "--scheme", "nf4", "--scheme", "fp8-e4m3");
        assertEquals(0, run.exit(), run.err());
        assertEquals(1, run.errLines().size(), run.err());
        assertTrue(run.err().startsWith("backend auto took "), run.err());
        String html = Files.readString(page);
        DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader(html)));
        for (String label : new String[] {"bf16", "int4 sym g128", "nf4 b64", "fp8 e4m3 channel"}) {
            assertTrue(run.out().contains(label), run.out());
            assertTrue(html.contains(label), label);
        }
        try (var files = Files.list(folder)) {
            assertEquals(1, files.count(), "only the page is left");
        }
    }

    @Test
    void jsonIsOneDocumentWithEveryFigure(@TempDir Path folder) throws Exception {
        Cli run = Cli.run("demo", "--json", "--backend", "cpu", "--windows", "1", "--max-tokens", "2",
                "--report", folder.resolve("page.html").toString(), "--scheme", "mxfp4");
        assertEquals(0, run.exit(), run.err());
        assertEquals("", run.err(), "a backend named needs no remark");
        JsonObject document = JsonReader.parseObject(run.out());
        assertEquals(2, document.list("results").size());
        JsonObject stored = (JsonObject) document.list("results").get(0);
        JsonObject mxfp4 = (JsonObject) document.list("results").get(1);
        assertEquals("bf16", stored.text("scheme"));
        assertEquals(16.0, stored.number("bits_per_weight"));
        assertEquals(4.25, mxfp4.number("bits_per_weight"));
        assertTrue(mxfp4.number("perplexity") > 1 && mxfp4.number("decode_tokens_per_second") > 0);
        assertTrue(mxfp4.number("perplexity") != stored.number("perplexity"));
        assertEquals(56, mxfp4.object("sqnr_db").keys().size());
        assertFalse(document.text("continuation").isEmpty());
    }

    @Test
    void anUnwritableReportIsRefusedBeforeTheWork() {
        Cli run = Cli.run("demo", "--report", "/no/such/folder/page.html");
        assertEquals(1, run.exit());
        assertEquals(1, run.errLines().size(), run.err());
        assertTrue(run.err().contains("/no/such/folder/page.html"), run.err());
    }

    @Test
    void budgetsOutOfRangeAreWrongUsage() {
        assertEquals(2, Cli.run("demo", "--windows", "0").exit());
        assertEquals(2, Cli.run("demo", "--max-tokens", "1").exit());
    }

    @Test
    void everyFamilyIsShown() {
        for (var common : SchemeNames.common()) {
            assertTrue(Demo.schemes().stream().anyMatch(s -> s.getClass() == common.getClass()), common.label());
        }
    }
}
