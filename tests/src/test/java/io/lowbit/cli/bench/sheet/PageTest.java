package io.lowbit.cli.bench.sheet;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.StringReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

/** The page and its plots: well-formed, self-contained, every case in it, nothing outside of the picture. */
@Tag("sources")
class PageTest {
    private static final List<String> NAMES = List.of("cublasLt bf16", "cublasLt fp8 tensor fast", "int4 sym g128", "nf4 b64", "fp8 e4m3 channel w8a8");

    private static Sheet crowded() {
        List<Row> rows = new ArrayList<>();
        for (long[] shape : new long[][] {{4096, 4096}, {8192, 28672}}) {
            for (String name : NAMES) {
                for (int m : new int[] {1, 4, 16, 64, 256, 2048, 8192}) {
                    double floor = Math.max(shape[0] * shape[1] / 3e6, 2.0 * m * shape[0] * shape[1] / 8e8);
                    rows.add(SheetTest.row(name, name.startsWith("cublasLt"), shape[0], shape[1], m, floor * (1.2 + 0.3 * NAMES.indexOf(name)), 0.004));
                }
            }
        }
        rows.add(Row.untimed("fp4 <b64>", false, null, 4096, 4096, 1, "cold", "y[0, 0] is NaN & wrong"));
        return SheetTest.sheet(rows.toArray(Row[]::new));
    }

    private static Document parse(String text) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        return factory.newDocumentBuilder().parse(new InputSource(new StringReader(text.replaceFirst("<!DOCTYPE html>", ""))));
    }

    @Test
    void pageHasEveryCaseAndAPlotForEachShape() throws Exception {
        Sheet sheet = crowded();
        String page = Page.html(sheet);
        Document document = parse(page);
        assertEquals(1 + sheet.rows().size(), document.getElementsByTagName("tr").getLength());
        assertEquals(3, document.getElementsByTagName("figure").getLength());
        assertTrue(document.getDocumentElement().getTextContent().contains("y[0, 0] is NaN & wrong"));
        assertTrue(page.contains("prefers-color-scheme: dark"));
        assertFalse(page.contains("http://") && page.replace("http://www.w3.org/2000/svg", "").contains("http://"), "loads nothing");
        assertFalse(page.contains("NaN,") || page.contains("Infinity"), "no figure that is none");
    }

    @Test
    void rooflineHasAMarkForEachTimedCase() throws Exception {
        Sheet sheet = crowded();
        Document svg = parse(new RooflinePlot(sheet, new Styles(sheet)).svg());
        long timed = sheet.rows().stream().filter(Row::timed).count();
        assertEquals(timed, svg.getElementsByTagName("title").getLength() - 1);
        assertEquals(21 * 2 + 3, svg.getElementsByTagName("circle").getLength(), "Lowbit's are circles; three more in the legend");
        String words = svg.getDocumentElement().getTextContent();
        for (String family : List.of("INT4", "NF4, FP4", "FP8", "peers")) {
            assertTrue(words.contains(family), words);
        }
        assertFalse(words.contains("MXFP4"), "none was measured");
        inside(svg, "circle", "cx", 1040);
        inside(svg, "circle", "cy", 560);
    }

    private static void inside(Document svg, String tag, String attribute, double limit) {
        NodeList list = svg.getElementsByTagName(tag);
        for (int i = 0; i < list.getLength(); i++) {
            double at = Double.parseDouble(((Element) list.item(i)).getAttribute(attribute));
            assertTrue(at >= 0 && at <= limit, tag + " " + attribute + " = " + at);
        }
    }

    @Test
    void namesAtTheLinesEndsDoNotOverlap() throws Exception {
        Sheet sheet = crowded();
        Document svg = parse(new SpeedPlot(sheet, sheet.shapes().getFirst(), new Styles(sheet)).svg());
        List<Double> at = new ArrayList<>();
        NodeList texts = svg.getElementsByTagName("text");
        for (int i = 0; i < texts.getLength(); i++) {
            Element text = (Element) texts.item(i);
            if (NAMES.contains(text.getTextContent())) {
                at.add(Double.parseDouble(text.getAttribute("y")));
            }
        }
        assertEquals(NAMES.size(), at.size());
        at.sort(null);
        for (int i = 1; i < at.size(); i++) {
            assertTrue(at.get(i) - at.get(i - 1) >= 11.9, at.toString());
        }
    }

    @Test
    void plotsStandAlone() throws Exception {
        Map<String, String> files = Page.plots(crowded());
        assertEquals(List.of("roofline.svg", "over-m-4096x4096.svg", "over-m-8192x28672.svg"), List.copyOf(files.keySet()));
        for (String file : files.values()) {
            Document svg = parse(file);
            assertEquals("http://www.w3.org/2000/svg", svg.getDocumentElement().getNamespaceURI());
            assertEquals(1, svg.getElementsByTagName("style").getLength());
        }
    }

    @Test
    void aRunWithoutAnyTimeStillGivesAPage() throws Exception {
        Sheet none = SheetTest.sheet(Row.untimed("nf4 b64", false, null, 64, 32, 1, "cold", "wrong"));
        assertTrue(parse(Page.html(none)).getDocumentElement().getTextContent().contains("nothing was timed"));
    }
}
