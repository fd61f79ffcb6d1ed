package io.lowbit.cli.report;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/** Points with a name each, in SVG: every point labelled, families told apart by colour and shape. */
final class ScatterPlot {
    private record Point(String name, Family family, double x, double y, String tip) {}

    private static final double WIDTH = 900;
    private static final double HEIGHT = 520;
    private static final double LEFT = 64;
    private static final double RIGHT = 16;
    private static final double TOP = 40;
    private static final double BOTTOM = 52;

    private final String title;
    private final String xTitle;
    private final String yTitle;
    private final boolean logX;
    private final List<Point> points = new ArrayList<>();
    private boolean front;

    ScatterPlot(String title, String xTitle, String yTitle, boolean logX) {
        this.title = title;
        this.xTitle = xTitle;
        this.yTitle = yTitle;
        this.logX = logX;
    }

    /** Joins the points that no other is left of and below at once: the Pareto front. */
    ScatterPlot withFront() {
        front = true;
        return this;
    }

    /** Adds a point; those without a finite place are left out, as nothing was measured there. */
    void add(String name, Family family, double x, double y, String tip) {
        if (Double.isFinite(x) && Double.isFinite(y) && (!logX || x > 0)) {
            points.add(new Point(name, family, x, y, tip));
        }
    }

    String svg() {
        StringBuilder out = new StringBuilder(Svg.format("<svg viewBox='0 0 %.0f %.0f' role='img' aria-label='%s'>%n",
                WIDTH, HEIGHT, Svg.escape(title)));
        if (points.isEmpty()) {
            return out.append(Svg.text(WIDTH / 2, HEIGHT / 2, "tick", "middle", "nothing was measured")).append("</svg>").toString();
        }
        Axis x = Axis.around(
                points.stream().mapToDouble(Point::x).min().orElseThrow(),
                points.stream().mapToDouble(Point::x).max().orElseThrow(), 0.12, LEFT, WIDTH - RIGHT, logX);
        Axis y = Axis.around(
                points.stream().mapToDouble(Point::y).min().orElseThrow(),
                points.stream().mapToDouble(Point::y).max().orElseThrow(), 0.10, HEIGHT - BOTTOM, TOP, false);
        grid(out, x, y);
        if (front) {
            front(out, x, y);
        }
        legend(out);
        List<Labels.Placed> labels = Labels.place(
                points.stream().map(p -> new Labels.Item(x.at(p.x), y.at(p.y), p.name)).toList(),
                LEFT + 2, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM - 2);
        for (Labels.Placed label : labels) {
            if (label.joined()) {
                double nearest = Math.clamp(label.item().x(), label.left(), label.left() + label.width());
                double edge = label.middle() + Math.clamp(label.item().y() - label.middle(), -5, 5);
                out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='leader'/>%n",
                        label.item().x(), label.item().y(), nearest, edge));
            }
        }
        for (Point p : points) {
            out.append("<g><title>").append(Svg.escape(p.tip)).append("</title>")
                    .append(p.family.mark(x.at(p.x), y.at(p.y))).append("</g>\n");
        }
        for (Labels.Placed label : labels) {
            out.append(Svg.text(label.left(), label.middle() + 4, "label", "start", label.item().text())).append('\n');
        }
        return out.append("</svg>\n").toString();
    }

    private void grid(StringBuilder out, Axis x, Axis y) {
        for (double tick : y.ticks(44)) {
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='grid'/>", LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)));
            out.append(Svg.text(LEFT - 8, y.at(tick) + 4, "tick", "end", Axis.label(tick))).append('\n');
        }
        for (double tick : x.ticks(52)) {
            out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='grid'/>", x.at(tick), TOP, x.at(tick), HEIGHT - BOTTOM));
            out.append(Svg.text(x.at(tick), HEIGHT - BOTTOM + 18, "tick", "middle", Axis.label(tick))).append('\n');
        }
        out.append(Svg.format("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='axis'/>%n", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM));
        out.append(Svg.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "title", "middle", xTitle)).append('\n');
        double middle = (TOP + HEIGHT - BOTTOM) / 2;
        out.append(Svg.format("<text x='16' y='%.1f' class='title' text-anchor='middle' transform='rotate(-90 16 %.1f)'>", middle, middle))
                .append(Svg.escape(yTitle)).append("</text>\n");
    }

    private void front(StringBuilder out, Axis x, Axis y) {
        StringBuilder path = new StringBuilder();
        double best = Double.POSITIVE_INFINITY;
        for (Point p : points.stream().sorted(Comparator.comparingDouble(Point::x).thenComparingDouble(Point::y)).toList()) {
            if (p.y < best) {
                best = p.y;
                path.append(Svg.format("%s%.1f %.1f", path.isEmpty() ? "M" : " L", x.at(p.x), y.at(p.y)));
            }
        }
        out.append("<path d='").append(path).append("' class='front'/>\n");
    }

    private void legend(StringBuilder out) {
        Set<Family> families = EnumSet.noneOf(Family.class);
        points.forEach(p -> families.add(p.family));
        double at = LEFT + 8;
        for (Family family : families) {
            out.append(family.mark(at, 18)).append(Svg.text(at + 12, 22, "legend", "start", family.title)).append('\n');
            at += 44 + family.title.length() * 6.6;
        }
    }
}
