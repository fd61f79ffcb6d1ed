package io.lowbit.cli.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

@Tag("sources")
class HtmlReportTest {
    private static final List<Scheme> SCHEMES = List.of(
            new Scheme.Dense(DType.BF16),
            new Scheme.Int4(Grouping.CHANNEL, true),
            new Scheme.Int4(Grouping.group(128), true),
            new Scheme.Int4(Grouping.group(64), true),
            new Scheme.Int4(Grouping.group(32), true),
            new Scheme.Int4(Grouping.group(128), false),
            new Scheme.Int4(Grouping.group(64), false),
            new Scheme.Int4(Grouping.group(32), false),
            new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false),
            new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true),
            new Scheme.Bnb4(Scheme.Codebook.FP4, 64, false),
            new Scheme.Mxfp4(),
            new Scheme.Nvfp4(),
            new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR),
            new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL),
            new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.TENSOR));
    /** Perplexities of a small model in these schemes, so that points crowd as they do in earnest. */
    private static final double[] PERPLEXITY = {29.351, 31.705, 31.153, 30.837, 30.562, 30.834, 30.472, 30.268, 30.485, 30.49, 31.635,
        30.976, 30.557, 29.431, 29.405, 29.662};
    private static final double[] BITS = {16, 4.06, 4.125, 4.25, 4.5, 4.156, 4.3125, 4.625, 4.5, 4.127, 4.5, 4.25, 4.5, 8, 8.06, 8};

    private static Report report() {
        List<String> layers = IntStream.range(0, 8).boxed()
                .flatMap(l -> List.of("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down").stream()
                        .map(n -> "model.layers." + l + "." + n + "_proj.weight"))
                .toList();
        List<SchemeResult> results = new ArrayList<>();
        for (int i = 0; i < SCHEMES.size(); i++) {
            List<Double> sqnr = new ArrayList<>();
            for (int l = 0; i > 0 && l < layers.size(); l++) {
                sqnr.add(BITS[i] * 4 + 2 + (l * 7 % 11) * 0.1);
            }
            results.add(new SchemeResult(SCHEMES.get(i).label(), SCHEMES.get(i), PERPLEXITY[i], BITS[i], (long) (6_291_456 * BITS[i] / 8),
                    (long) (6_291_456 * BITS[i] / 8) + 2_105_856, 4000 + 100 * i, 300 + 37 * (i * 5 % 16), sqnr));
        }
        return new Report("A <small> model & more", List.of("machine"), List.of("protocol"), results, layers,
                "Call me \"Ishmael\"", " and \u0001 <so> on…", "int4 sym g128");
    }

    private static Document parse(String page) throws Exception {
        return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader(page)));
    }

    @Test
    void pageIsWellFormedAndSelfContained() throws Exception {
        String page = HtmlReport.page(report());
        parse(page);
        for (String outside : List.of("http:", "https:", "<script", "@import", "url(", "<link", "<img")) {
            assertFalse(page.contains(outside), outside);
        }
        assertTrue(page.contains("prefers-color-scheme: dark"));
        assertTrue(page.contains("A &lt;small&gt; model &amp; more"));
    }

    @Test
    void everySchemeIsInTheTableAndLabelledInEveryPlot() throws Exception {
        Document page = parse(HtmlReport.page(report()));
        NodeList svgs = page.getElementsByTagName("svg");
        List<Element> plots = new ArrayList<>();
        for (int i = 0; i < svgs.getLength(); i++) {
            Element svg = (Element) svgs.item(i);
            if (svg.getAttribute("role").equals("img")) {
                plots.add(svg);
            }
        }
        assertEquals(3, plots.size());
        String table = page.getElementsByTagName("table").item(0).getTextContent();
        for (SchemeResult result : report().results()) {
            assertTrue(table.contains(result.label()), result.label());
            for (Element plot : plots) {
                if (!result.sqnr().isEmpty() || plot != plots.get(2)) {
                    assertEquals(1, texts(plot).stream().filter(result.label()::equals).count(),
                            result.label() + " in " + plot.getAttribute("aria-label"));
                }
            }
        }
    }

    @Test
    void crowdedLabelsDoNotOverlap() {
        List<Labels.Item> items = new ArrayList<>();
        for (int i = 0; i < SCHEMES.size(); i++) {
            items.add(new Labels.Item(100 + 40 * Math.log(BITS[i]) * 6, 100 + (31.8 - PERPLEXITY[i]) * 130, SCHEMES.get(i).label()));
        }
        List<Labels.Placed> placed = Labels.place(items, 64, 40, 884, 428);
        for (int i = 0; i < placed.size(); i++) {
            Labels.Placed a = placed.get(i);
            assertTrue(a.left() >= 64 && a.left() + a.width() <= 884, a.toString());
            for (int j = 0; j < i; j++) {
                Labels.Placed b = placed.get(j);
                boolean apart = a.left() + a.width() <= b.left() || b.left() + b.width() <= a.left()
                        || Math.abs(a.middle() - b.middle()) >= 14;
                assertTrue(apart, a + " covers " + b);
            }
        }
    }

    @Test
    void writesTheWholeFileOrNothing(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("report.html");
        HtmlReport.write(file, report());
        assertEquals(HtmlReport.page(report()), Files.readString(file));
        try (var entries = Files.list(folder)) {
            assertEquals(1, entries.count(), "no temporary file stays");
        }
    }

    @Test
    void layerErrorsMustMatchTheLayers() {
        Report good = report();
        assertThrows(IllegalArgumentException.class, () -> new Report("m", List.of(), List.of(), good.results(), List.of("one"), "", "", ""));
    }

    private static List<String> texts(Element svg) {
        NodeList nodes = svg.getElementsByTagName("text");
        return IntStream.range(0, nodes.getLength()).mapToObj(i -> nodes.item(i).getTextContent()).toList();
    }
}
