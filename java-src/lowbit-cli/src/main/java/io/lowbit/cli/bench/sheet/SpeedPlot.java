package io.lowbit.cli.bench.sheet;

import io.lowbit.cli.report.Axis;
import io.lowbit.cli.report.Svg;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * One shape over M, in SVG, both axes logarithmic: the speed-up over the yardstick, or where there is none the part of the
 * roofline that each contender reaches.
 */
final class SpeedPlot {
    private static final double WIDTH = 1040;
    private static final double HEIGHT = 420;
    private static final double LEFT = 62;
    private static final double RIGHT = 236;
    private static final double TOP = 16;
    private static final double BOTTOM = 48;
    private static final double NAME_HEIGHT = 12;

    private final Sheet sheet;
    private final Sheet.Shape shape;
    private final Styles styles;

    private record Point(int m, double value) {}

    private record Line(String name, List<Point> points) {
        double last() {
            return points.getLast().value;
        }
    }

    SpeedPlot(Sheet sheet, Sheet.Shape shape, Styles styles) {
        this.sheet = sheet;
        this.shape = shape;
        this.styles = styles;
    }

    private List<Line> lines() {
        List<Line> lines = new ArrayList<>();
        for (String name : sheet.names()) {
            for (String set : sheet.rows(shape, name).stream().map(Row::set).distinct().toList()) {
                List<Point> points = sheet.rows(shape, name).stream()
                        .filter(r -> r.set().equals(set))
                        .map(r -> new Point(r.m(), sheet.yardstick() == null ? r.ofRoofline() : sheet.speedUp(r)))
                        .filter(p -> !Double.isNaN(p.value))
                        .sorted(Comparator.comparingInt(Point::m))
                        .toList();
                if (!points.isEmpty()) {
                    lines.add(new Line(name, points));
                }
            }
        }
        return lines;
    }

    String svg() {
        StringBuilder out = new StringBuilder(Svg.format(
                "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' role='img'><title>%s over M</title>%n", WIDTH, HEIGHT, shape));
        List<Line> lines = lines();
        if (lines.isEmpty()) {
            return out.append(Svg.text(WIDTH / 2, HEIGHT / 2, "tick", "middle", "nothing was timed")).append("</svg>\n").toString();
        }
        double[] values = lines.stream().flatMap(l -> l.points.stream()).mapToDouble(Point::value).toArray();
        int[] ms = lines.stream().flatMap(l -> l.points.stream()).mapToInt(Point::m).distinct().sorted().toArray();
        Axis x = Axis.around(ms[0], Math.max(ms[ms.length - 1], ms[0] * 1.01), 0.02, LEFT, WIDTH - RIGHT, true);
        Axis y = Axis.around(java.util.Arrays.stream(values).min().orElseThrow(), java.util.Arrays.stream(values).max().orElseThrow(), 0.06,
                HEIGHT - BOTTOM, TOP, true);
        for (double tick : y.ticks(36)) {
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='grid'/>", LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)));
            out.append(Svg.text(LEFT - 8, y.at(tick) + 4, "tick", "end", Axis.label(tick))).append('\n');
        }
        for (int m : ms) {
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='grid'/>", x.at(m), TOP, x.at(m), HEIGHT - BOTTOM));
            out.append(Svg.text(x.at(m), HEIGHT - BOTTOM + 18, "tick", "middle", Integer.toString(m))).append('\n');
        }
        if (y.low() < 1 && y.high() > 1) {
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='unit'/>%n", LEFT, y.at(1), WIDTH - RIGHT, y.at(1)));
        }
        out.append(Svg.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "title", "middle", "M, rows of x")).append('\n');
        double middle = (TOP + HEIGHT - BOTTOM) / 2;
        out.append(Svg.format("<text x='14' y='%.1f' class='title' text-anchor='middle' transform='rotate(-90 14 %.1f)'>", middle, middle))
                .append(Svg.escape(sheet.yardstick() == null ? "part of the roofline" : "times " + sheet.yardstick())).append("</text>\n");
        for (Line line : lines) {
            draw(out, x, y, line);
        }
        names(out, x, y, lines);
        return out.append("</svg>\n").toString();
    }

    private void draw(StringBuilder out, Axis x, Axis y, Line line) {
        StringBuilder path = new StringBuilder();
        StringBuilder tip = new StringBuilder(line.name);
        for (Point p : line.points) {
            path.append(Svg.format("%s%.1f %.1f ", path.isEmpty() ? "M" : "L", x.at(p.m), y.at(p.value)));
            tip.append(Svg.format(", M=%d: %.2f", p.m, p.value));
        }
        out.append("<g><title>").append(Svg.escape(tip.toString())).append("</title>")
                .append(Svg.format("<path d='%s' class='%s'/>", path.toString().strip(), styles.line(line.name)));
        for (Point p : line.points) {
            out.append(Svg.format("<circle cx='%.1f' cy='%.1f' r='2.6' class='%s'/>", x.at(p.m), y.at(p.value), styles.dot(line.name)));
        }
        out.append("</g>\n");
    }

    /** Names stand at the ends of their lines, pushed apart where they would overlap. */
    private void names(StringBuilder out, Axis x, Axis y, List<Line> lines) {
        List<Line> sorted = new ArrayList<>(lines);
        sorted.sort(Comparator.comparingDouble(Line::last).reversed());
        double[] at = new double[sorted.size()];
        for (int i = 0; i < at.length; i++) {
            at[i] = Math.max(y.at(sorted.get(i).last()), i == 0 ? TOP : at[i - 1] + NAME_HEIGHT);
        }
        double overflow = at[at.length - 1] - (HEIGHT - 4);
        for (int i = at.length - 1; i >= 0 && overflow > 0; i--) {
            at[i] = Math.min(at[i], HEIGHT - 4 - (at.length - 1 - i) * NAME_HEIGHT);
        }
        for (int i = 0; i < at.length; i++) {
            Line line = sorted.get(i);
            double end = x.at(line.points.getLast().m);
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='leader'/>", end + 2, y.at(line.last()), WIDTH - RIGHT + 14, at[i]));
            out.append(Svg.text(WIDTH - RIGHT + 18, at[i] + 3.5, styles.text(line.name), "start", line.name)).append('\n');
        }
    }
}
