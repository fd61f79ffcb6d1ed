package io.lowbit.cli.bench.sheet;

import io.lowbit.cli.report.HtmlReport;
import io.lowbit.cli.report.Svg;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** A sheet as one self-contained HTML page (well-formed XML too), readable in dark and light; and its plots as files. */
public final class Page {
    private Page() {}

    /** The page's text. */
    public static String html(Sheet sheet) {
        Styles styles = new Styles(sheet);
        StringBuilder out = new StringBuilder();
        out.append("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n")
                .append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n")
                .append("<title>lowbit bench gemm</title>\n<style>\n").append(style()).append("</style></head>\n<body><main>\n");
        out.append("<h1>Matrix products, measured</h1>\n<p>").append(Svg.escape(sheet.machine())).append("</p>\n<p class=\"note\">")
                .append(Svg.escape(sheet.when().toString())).append("</p>\n");
        figure(out, "Roofline", new RooflinePlot(sheet, styles).svg(),
                "Each mark is one case; circles are Lowbit's, crosses are the peers'. The slope is the measured read bandwidth, the flat lines are the peaks.");
        for (Sheet.Shape shape : sheet.shapes()) {
            figure(out, "N x K = " + shape, new SpeedPlot(sheet, shape, styles).svg(), sheet.yardstick() == null
                    ? "Part of the roofline over the number of rows of x: more is better, 1 is the limit."
                    : "Speed over " + sheet.yardstick() + " at the same number of rows of x: more is better.");
        }
        table(out, sheet);
        out.append("<h2>How it was measured</h2>\n");
        for (String line : sheet.method()) {
            out.append("<p class=\"note\">").append(Svg.escape(line)).append("</p>\n");
        }
        return out.append("</main></body></html>\n").toString();
    }

    /** Every plot as a file of its own, name to text; each carries its style and follows the viewer's dark or light. */
    public static Map<String, String> plots(Sheet sheet) {
        Styles styles = new Styles(sheet);
        Map<String, String> files = new LinkedHashMap<>();
        files.put("roofline.svg", alone(new RooflinePlot(sheet, styles).svg()));
        for (Sheet.Shape shape : sheet.shapes()) {
            files.put("over-m-" + shape + ".svg", alone(new SpeedPlot(sheet, shape, styles).svg()));
        }
        return files;
    }

    private static String alone(String svg) {
        int after = svg.indexOf('>', svg.indexOf("<svg")) + 1;
        return svg.substring(0, after) + "<style>" + style() + "</style><rect width='100%' height='100%' style='fill: var(--surface)'/>"
                + svg.substring(after);
    }

    private static void table(StringBuilder out, Sheet sheet) {
        out.append("<h2>Results</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>contender</th><th>N x K</th><th>M</th><th>set</th><th>µs</th>"
                + "<th>min</th><th>p95</th><th>first</th><th>GB/s</th><th>TFLOP/s</th><th>of roofline</th><th>")
                .append(sheet.yardstick() == null ? "" : "x " + Svg.escape(sheet.yardstick()))
                .append("</th><th>noise</th><th>MHz</th><th class=\"text\">kernel</th></tr></thead>\n<tbody>\n");
        for (Row r : sheet.rows()) {
            out.append(r.peer() ? "<tr class=\"peer\"><th>" : "<tr><th>").append(Svg.escape(r.name())).append("</th>");
            cell(out, r.n() + "x" + r.k());
            cell(out, Integer.toString(r.m()));
            cell(out, r.set());
            if (r.timed()) {
                cell(out, micros(r.median()));
                cell(out, micros(r.min()));
                cell(out, micros(r.p95()));
                cell(out, Double.isNaN(r.first()) ? "" : micros(r.first()));
                cell(out, Svg.format("%.0f", r.throughput() * 1e-9));
                cell(out, Svg.format("%.2f", r.rate() * 1e-12));
                cell(out, Svg.format("%.2f", r.ofRoofline()));
                double speedUp = sheet.speedUp(r);
                cell(out, Double.isNaN(speedUp) ? "" : Svg.format("%.2f", speedUp));
                cell(out, Svg.format("%.1f %%", 100 * r.noise()));
                cell(out, Double.isNaN(r.mhz()) ? "" : Svg.format("%.0f", r.mhz()));
                out.append("<td class=\"text\">").append(Svg.escape(r.kernel() == null ? "" : r.kernel())).append("</td>");
            } else {
                out.append("<td class=\"text\" colspan=\"11\">").append(Svg.escape(r.reason())).append("</td>");
            }
            out.append("</tr>\n");
        }
        out.append("</tbody></table></div>\n");
    }

    private static String micros(double nanos) {
        return Svg.format(nanos < 100_000 ? "%.2f" : "%.1f", nanos * 1e-3);
    }

    private static void cell(StringBuilder out, String text) {
        out.append("<td>").append(Svg.escape(text)).append("</td>");
    }

    private static void figure(StringBuilder out, String title, String svg, String caption) {
        out.append("<h2>").append(Svg.escape(title)).append("</h2>\n<figure><div class=\"wide\">").append(svg)
                .append("</div><figcaption>").append(Svg.escape(caption)).append("</figcaption></figure>\n");
    }

    private static String style() {
        try (InputStream in = Page.class.getResourceAsStream("bench.css")) {
            return HtmlReport.style() + new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
