package io.lowbit.cli.report;

import java.util.ArrayList;
import java.util.List;

/**
 * Places a text beside each point of a plot so that no text covers another text or a point: for each point in turn
 * the nearest free place of many around it, joined by a line where it is not adjacent.
 */
final class Labels {
    /** A text to place. */
    record Item(double x, double y, String text) {}

    /** Where it came to lie: the box's left and middle; {@code joined} where a line has to show whose it is. */
    record Placed(Item item, double left, double middle, double width, boolean joined) {}

    private record Box(double x0, double y0, double x1, double y1) {
        boolean overlaps(Box o) {
            return x0 < o.x1 && o.x0 < x1 && y0 < o.y1 && o.y0 < y1;
        }
    }

    private static final double HEIGHT = 14;
    private static final double MARK = 7;
    private static final double CHARACTER = 6.3;

    private Labels() {}

    /** What it costs a text to lie close to the points of others: it would seem theirs. */
    private static double crowd(Box box, Item own, List<Item> items) {
        double cost = 0;
        for (Item other : items) {
            double dx = Math.max(0, Math.max(box.x0 - other.x, other.x - box.x1));
            double dy = Math.max(0, Math.max(box.y0 - other.y, other.y - box.y1));
            double distance = Math.hypot(dx, dy);
            if (other != own && distance < 16) {
                cost += 16 - distance;
            }
        }
        return cost;
    }

    /** @return the placed texts, in the items' order; those without a free place lie to the right of their point */
    static List<Placed> place(List<Item> items, double x0, double y0, double x1, double y1) {
        List<Box> taken = new ArrayList<>();
        for (Item item : items) {
            taken.add(new Box(item.x - MARK, item.y - MARK, item.x + MARK, item.y + MARK));
        }
        List<Placed> placed = new ArrayList<>();
        for (Item item : items) {
            Placed best = null;
            double bestCost = Double.POSITIVE_INFINITY;
            double width = item.text.codePointCount(0, item.text.length()) * CHARACTER;
            for (int ring = 0; ring < 26; ring++) {
                double distance = MARK + 3 + ring * 6;
                for (int a = 0; a < 24; a++) {
                    double angle = a * Math.PI / 12;
                    double cx = item.x + distance * Math.cos(angle);
                    double cy = item.y + distance * Math.sin(angle);
                    // the box hangs on the side that faces the point
                    double left = cx - width * (1 - Math.cos(angle)) / 2;
                    Box box = new Box(left - 2, cy - HEIGHT / 2, left + width + 2, cy + HEIGHT / 2);
                    if (box.x0 < x0 || box.x1 > x1 || box.y0 < y0 || box.y1 > y1 || taken.stream().anyMatch(box::overlaps)) {
                        continue;
                    }
                    // near is better; right or left of the point reads better than above or below
                    double cost = distance + 7 * Math.abs(Math.sin(angle)) + (Math.cos(angle) < -0.1 ? 4 : 0) + crowd(box, item, items);
                    if (cost < bestCost) {
                        bestCost = cost;
                        best = new Placed(item, left, cy, width, ring > 0 || Math.abs(Math.sin(angle)) > 0.3);
                    }
                }
                if (best != null && bestCost <= distance) {
                    break;
                }
            }
            if (best == null) {
                best = new Placed(item, item.x + MARK + 3, item.y, width, false);
            }
            taken.add(new Box(best.left - 2, best.middle - HEIGHT / 2, best.left + width + 2, best.middle + HEIGHT / 2));
            placed.add(best);
        }
        return placed;
    }
}
