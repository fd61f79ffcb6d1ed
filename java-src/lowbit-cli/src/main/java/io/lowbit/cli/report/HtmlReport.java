package io.lowbit.cli.report;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** Writes a {@link Report} as one self-contained HTML page (well-formed XML too), readable in dark and light. */
public final class HtmlReport {
    private HtmlReport() {}

    /** Writes the page beside its final name and renames it when whole. */
    public static void write(Path file, Report report) throws IOException {
        TextFile.write(file, page(report));
    }

    /** The page's text. */
    public static String page(Report report) {
        StringBuilder out = new StringBuilder();
        out.append("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n")
                .append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n")
                .append("<title>Lowbit: one model in every format</title>\n<style>\n").append(style()).append("</style></head>\n<body><main>\n");
        out.append("<h1>").append(Svg.escape(report.title())).append("</h1>\n<p>").append(Svg.escape(report.model())).append("</p>\n");
        paragraphs(out, report.machine());
        table(out, report);
        figure(out, "Perplexity against bytes", bytesPlot(report),
                "Down and left is better; the line joins those that nothing else beats in both. Bytes are those of the linear layers (the horizontal axis is "
                        + "logarithmic); the rest of the model stays as it is.");
        figure(out, "Perplexity against speed", speedPlot(report),
                "Down and right is better. Speed is that of generating tokens one by one on this machine.");
        figure(out, "Error of each layer", new LayerPlot(report).svg(),
                report.layerError() + "; more is better, 6 dB is one bit. "
                        + "q, k, v, o: attention; g, u, d: gate, up and down of the feed-forward part.");
        if (report.continuation() != null) {
            continuation(out, report);
        }
        out.append("<h2>How it was measured</h2>\n");
        paragraphs(out, report.protocol());
        return out.append("</main></body></html>\n").toString();
    }

    private static void continuation(StringBuilder out, Report report) {
        out.append("<h2>What it writes</h2>\n<p class=\"note\">Continued by ").append(Svg.escape(report.continuationScheme()))
                .append(":</p>\n<blockquote><b>").append(Svg.escape(report.prompt())).append("</b>")
                .append(Svg.escape(report.continuation())).append("</blockquote>\n");
    }

    private static void table(StringBuilder out, Report report) {
        SchemeResult reference = report.reference();
        out.append("<h2>Results</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>scheme</th><th>bits per weight</th><th>linear layers, MiB</th>"
                + "<th>whole model, MiB</th><th>perplexity</th><th>against stored</th><th>SQNR, dB</th><th>prompt, tokens/s</th>"
                + "<th>decode, tokens/s</th></tr></thead>\n<tbody>\n");
        for (SchemeResult r : report.results()) {
            out.append("<tr><th>").append(key(Family.of(r.scheme()))).append(Svg.escape(r.label())).append("</th>");
            cell(out, Svg.format("%.3f", r.bitsPerWeight()));
            cell(out, Svg.format("%.2f", r.linearBytes() / 1048576.0));
            cell(out, Svg.format("%.2f", r.totalBytes() / 1048576.0));
            cell(out, Svg.format("%.3f", r.perplexity()));
            cell(out, r == reference ? "" : Svg.format("%+.2f %%", 100 * (r.perplexity() / reference.perplexity() - 1)));
            cell(out, Double.isNaN(r.meanSqnr()) ? "" : Svg.format("%.2f", r.meanSqnr()));
            cell(out, Svg.format("%.0f", r.promptTokensPerSecond()));
            cell(out, Svg.format("%.0f", r.decodeTokensPerSecond()));
            out.append("</tr>\n");
        }
        out.append("</tbody></table></div>\n");
    }

    private static String key(Family family) {
        return "<svg class=\"key\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">" + family.mark(8, 8) + "</svg>";
    }

    private static void cell(StringBuilder out, String text) {
        out.append("<td>").append(Svg.escape(text)).append("</td>");
    }

    private static String bytesPlot(Report report) {
        ScatterPlot plot = new ScatterPlot("Perplexity against bytes", "linear layers, MiB", "perplexity (lower is better)", true).withFront();
        for (SchemeResult r : report.results()) {
            plot.add(r.label(), Family.of(r.scheme()), r.linearBytes() / 1048576.0, r.perplexity(),
                    Svg.format("%s: perplexity %.3f, %.2f MiB, %.3f bits per weight", r.label(), r.perplexity(),
                            r.linearBytes() / 1048576.0, r.bitsPerWeight()));
        }
        return plot.svg();
    }

    private static String speedPlot(Report report) {
        ScatterPlot plot = new ScatterPlot("Perplexity against speed", "decode, tokens per second", "perplexity (lower is better)", false);
        for (SchemeResult r : report.results()) {
            plot.add(r.label(), Family.of(r.scheme()), r.decodeTokensPerSecond(), r.perplexity(),
                    Svg.format("%s: perplexity %.3f, %.0f tokens per second", r.label(), r.perplexity(), r.decodeTokensPerSecond()));
        }
        return plot.svg();
    }

    private static void figure(StringBuilder out, String title, String svg, String caption) {
        out.append("<h2>").append(Svg.escape(title)).append("</h2>\n<figure><div class=\"wide\">").append(svg)
                .append("</div><figcaption>").append(Svg.escape(caption)).append("</figcaption></figure>\n");
    }

    private static void paragraphs(StringBuilder out, Iterable<String> lines) {
        for (String line : lines) {
            out.append("<p class=\"note\">").append(Svg.escape(line)).append("</p>\n");
        }
    }

    /** The style sheet that all pages share. */
    public static String style() {
        try (InputStream in = HtmlReport.class.getResourceAsStream("report.css")) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
