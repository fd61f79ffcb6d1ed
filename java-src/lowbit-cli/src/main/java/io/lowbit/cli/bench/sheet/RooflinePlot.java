package io.lowbit.cli.bench.sheet;

import io.lowbit.cli.report.Axis;
import io.lowbit.cli.report.Svg;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Every timed case of a run under its ceilings, in SVG: operations a byte to the right, operations a second upwards, both
 * logarithmic. The slope is the read bandwidth, the flat lines are the peaks.
 */
final class RooflinePlot {
    private static final double WIDTH = 1040;
    private static final double HEIGHT = 560;
    private static final double LEFT = 70;
    private static final double RIGHT = 24;
    private static final double TOP = 24;
    private static final double BOTTOM = 52;

    private final Sheet sheet;
    private final Styles styles;

    RooflinePlot(Sheet sheet, Styles styles) {
        this.sheet = sheet;
        this.styles = styles;
    }

    String svg() {
        StringBuilder out = new StringBuilder(Svg.format(
                "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' role='img'><title>Roofline</title>%n", WIDTH, HEIGHT));
        List<Row> rows = sheet.rows().stream().filter(Row::timed).toList();
        if (rows.isEmpty()) {
            return out.append(Svg.text(WIDTH / 2, HEIGHT / 2, "tick", "middle", "nothing was timed")).append("</svg>\n").toString();
        }
        Map<String, Double> peaks = new LinkedHashMap<>();
        Map<String, Double> slopes = new LinkedHashMap<>();
        for (Row row : rows) {
            if (!Double.isNaN(row.peak())) {
                peaks.merge(row.peakName(), row.peak(), Math::max);
            }
            slopes.merge(row.set(), row.bandwidth(), Math::max);
        }
        double highest = Math.max(rows.stream().mapToDouble(Row::rate).max().orElseThrow(),
                peaks.values().stream().mapToDouble(Double::doubleValue).max().orElse(0));
        Axis x = Axis.around(rows.stream().mapToDouble(Row::intensity).min().orElseThrow(),
                rows.stream().mapToDouble(Row::intensity).max().orElseThrow(), 0.04, LEFT, WIDTH - RIGHT, true);
        Axis y = Axis.around(rows.stream().mapToDouble(Row::rate).min().orElseThrow() * 1e-12, highest * 1e-12, 0.04, HEIGHT - BOTTOM, TOP, true);
        grid(out, x, y);
        slopes.forEach((set, bandwidth) -> slope(out, x, y, bandwidth, Svg.format("%.0f GB/s %s", bandwidth * 1e-9, set)));
        peaks.forEach((name, peak) -> {
            double from = Math.max(x.low(), peak / slopes.values().stream().mapToDouble(Double::doubleValue).max().orElseThrow());
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='roof'/>", x.at(Math.min(from, x.high())), y.at(peak * 1e-12),
                    WIDTH - RIGHT, y.at(peak * 1e-12)));
            out.append(Svg.text(WIDTH - RIGHT, y.at(peak * 1e-12) - 5, "tick", "end", Svg.format(peak < 100e12 ? "%s %.3g TFLOP/s" : "%s %.0f TFLOP/s", name, peak * 1e-12))).append('\n');
        });
        for (Row row : rows) {
            out.append("<g><title>").append(Svg.escape(Svg.format("%s: %.2f µs, %.3g TFLOP/s, %.0f GB/s, %.0f %% of the roofline", row.key(),
                    row.median() * 1e-3, row.rate() * 1e-12, row.throughput() * 1e-9, 100 * row.ofRoofline()))).append("</title>");
            out.append(mark(x.at(row.intensity()), y.at(row.rate() * 1e-12), styles.family(row))).append("</g>\n");
        }
        legend(out);
        return out.append("</svg>\n").toString();
    }

    /** Lowbit's are filled circles, peers are crosses. */
    private static String mark(double x, double y, Styles.Family family) {
        return family == Styles.Family.PEER
                ? Svg.format("<path d='M%.1f %.1f l6 6 m0 -6 l-6 6' class='line peer l-%s'/>", x - 3, y - 3, family.suffix())
                : Svg.format("<circle cx='%.1f' cy='%.1f' r='3.6' class='dot f-%s'/>", x, y, family.suffix());
    }

    /** In the lower right corner: few operations a second of many a byte are rare. */
    private void legend(StringBuilder out) {
        List<Styles.Family> families = styles.used();
        double y = HEIGHT - BOTTOM - 14 - 18 * (families.size() - 1);
        for (Styles.Family family : families) {
            out.append("<g>").append(mark(WIDTH - RIGHT - 120, y, family)).append(Svg.text(WIDTH - RIGHT - 108, y + 4, "tick", "start", family.label()))
                    .append("</g>\n");
            y += 18;
        }
    }

    private static void slope(StringBuilder out, Axis x, Axis y, double bandwidth, String name) {
        double from = Math.max(x.low(), y.low() * 1e12 / bandwidth);
        double to = Math.min(x.high(), y.high() * 1e12 / bandwidth);
        if (from >= to) {
            return;
        }
        out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='roof'/>", x.at(from), y.at(from * bandwidth * 1e-12), x.at(to),
                y.at(to * bandwidth * 1e-12)));
        double at = Math.sqrt(from * to);
        out.append(Svg.text(x.at(at) - 8, y.at(at * bandwidth * 1e-12) - 6, "tick", "end", name)).append('\n');
    }

    private static void grid(StringBuilder out, Axis x, Axis y) {
        for (double tick : y.ticks(40)) {
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='grid'/>", LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)));
            out.append(Svg.text(LEFT - 8, y.at(tick) + 4, "tick", "end", Axis.label(tick))).append('\n');
        }
        for (double tick : x.ticks(60)) {
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='grid'/>", x.at(tick), TOP, x.at(tick), HEIGHT - BOTTOM));
            out.append(Svg.text(x.at(tick), HEIGHT - BOTTOM + 18, "tick", "middle", Axis.label(tick))).append('\n');
        }
        out.append(Svg.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "title", "middle", "operations for each byte that must be moved")).append('\n');
        double middle = (TOP + HEIGHT - BOTTOM) / 2;
        out.append(Svg.format("<text x='16' y='%.1f' class='title' text-anchor='middle' transform='rotate(-90 16 %.1f)'>TFLOP/s</text>%n", middle, middle));
    }
}
