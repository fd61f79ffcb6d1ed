package io.lowbit.cli.report;

import java.util.List;

/**
 * Error per layer in SVG: a row for each scheme, a column for each linear layer, the SQNR in whole dB in each cell and
 * in its shade (stronger is better).
 */
final class LayerPlot {
    /** Lower ends in dB of the shades; below the first is shade 0. */
    private static final double[] SHADES = {16, 18, 20, 22, 25, 28, 31};

    private static final double CELL = 15.5;
    private static final double ROW = 21;
    private static final double LEFT = 138;
    private static final double MEAN = 52;
    private static final double TOP = 74;

    private final Report report;

    LayerPlot(Report report) {
        this.report = report;
    }

    String svg() {
        List<SchemeResult> rows = report.results().stream().filter(r -> !r.sqnr().isEmpty()).toList();
        List<LayerName> layers = report.layers().stream().map(LayerName::of).toList();
        double width = LEFT + layers.size() * CELL + blocks(layers) * 4 + MEAN + 8;
        double height = TOP + rows.size() * ROW + 26;
        StringBuilder out = new StringBuilder(Svg.format(
                "<svg viewBox='0 0 %.0f %.0f' role='img' aria-label='Error of each layer in each scheme'>%n", width, height));
        legend(out);
        columns(out, layers);
        for (int r = 0; r < rows.size(); r++) {
            row(out, rows.get(r), layers, TOP + r * ROW);
        }
        return out.append("</svg>\n").toString();
    }

    private void legend(StringBuilder out) {
        out.append(Svg.text(0, 14, "legend", "start", "SQNR in dB:")).append('\n');
        for (int shade = 0; shade <= SHADES.length; shade++) {
            String range = shade == 0 ? "< 16" : shade == SHADES.length ? "≥ 31"
                    : Svg.format("%.0f–%.0f", SHADES[shade - 1], SHADES[shade]);
            double x = 84 + shade * 58;
            out.append(Svg.format("<rect x='%.1f' y='2' width='54' height='17' class='h%d'/>", x, shade));
            out.append(Svg.text(x + 27, 14.5, "cell h" + shade, "middle", range)).append('\n');
        }
    }

    private void columns(StringBuilder out, List<LayerName> layers) {
        double from = -1;
        for (int i = 0; i < layers.size(); i++) {
            double x = column(layers, i);
            out.append(Svg.text(x + CELL / 2, TOP - 6, "tick small", "middle", layers.get(i).kind())).append('\n');
            if (from < 0) {
                from = x;
            }
            if (i + 1 == layers.size() || !layers.get(i + 1).block().equals(layers.get(i).block())) {
                out.append(Svg.text((from + x + CELL) / 2, TOP - 22, "tick", "middle", layers.get(i).block())).append('\n');
                from = -1;
            }
        }
        out.append(Svg.text(column(layers, layers.size()) + MEAN - 6, TOP - 6, "tick", "end", "mean")).append('\n');
    }

    private void row(StringBuilder out, SchemeResult result, List<LayerName> layers, double y) {
        out.append(Svg.text(LEFT - 8, y + ROW / 2 + 3, "label", "end", result.label())).append('\n');
        for (int i = 0; i < layers.size(); i++) {
            double db = result.sqnr().get(i);
            double x = column(layers, i);
            int shade = shade(db);
            out.append(Svg.format("<g><title>%s, %s: %.2f dB</title>", Svg.escape(result.label()), Svg.escape(report.layers().get(i)), db));
            out.append(Svg.format("<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' class='h%d'/>", x, y, CELL - 1.5, ROW - 2, shade));
            out.append(Svg.text(x + (CELL - 1.5) / 2, y + ROW / 2 + 2.5, "cell h" + shade, "middle", Svg.format("%.0f", db))).append("</g>\n");
        }
        out.append(Svg.text(column(layers, layers.size()) + MEAN - 6, y + ROW / 2 + 3, "label", "end", Svg.format("%.2f", result.meanSqnr())))
                .append('\n');
    }

    private static int shade(double db) {
        int shade = 0;
        while (shade < SHADES.length && db >= SHADES[shade]) {
            shade++;
        }
        return shade;
    }

    private static double column(List<LayerName> layers, int index) {
        return LEFT + index * CELL + blocks(layers.subList(0, Math.min(index + 1, layers.size()))) * 4 - 4;
    }

    private static long blocks(List<LayerName> layers) {
        return layers.stream().map(LayerName::block).distinct().count();
    }

    /**
     * {@code model.layers.3.self_attn.q_proj.weight} in short.
     *
     * @param block {@code layer 3}
     * @param kind {@code q}
     */
    private record LayerName(String block, String kind) {
        static LayerName of(String name) {
            java.util.regex.Matcher matcher = java.util.regex.Pattern.compile("(?:.*\\.)?layers\\.(\\d+)\\.(?:.*\\.)?([a-z]+)_proj(?:\\.weight)?").matcher(name);
            return matcher.matches() ? new LayerName("layer " + matcher.group(1), matcher.group(2).substring(0, 1)) : new LayerName(name, "");
        }
    }
}
