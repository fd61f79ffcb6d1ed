package io.lowbit.cli.bench.sheet;

import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * A finished run.
 *
 * @param when it began
 * @param machine device or processor, in one line
 * @param method how it was measured, line by line
 * @param yardstick name of the rows that speed-ups are over; null where there are none
 * @param rows in the order they were measured
 */
public record Sheet(Instant when, String machine, List<String> method, String yardstick, List<Row> rows) {
    /** Shape of a weight matrix. */
    public record Shape(long n, long k) {
        @Override
        public String toString() {
            return n + "x" + k;
        }
    }

    /** All shapes, in order. */
    public List<Shape> shapes() {
        Set<Shape> shapes = new LinkedHashSet<>();
        rows.forEach(row -> shapes.add(new Shape(row.n(), row.k())));
        return new ArrayList<>(shapes);
    }

    /** Names of all contenders, in order. */
    public List<String> names() {
        Set<String> names = new LinkedHashSet<>();
        rows.forEach(row -> names.add(row.name()));
        return new ArrayList<>(names);
    }

    /** Timed rows of a shape and name. */
    public List<Row> rows(Shape shape, String name) {
        return rows.stream().filter(r -> r.timed() && r.n() == shape.n() && r.k() == shape.k() && r.name().equals(name)).toList();
    }

    /** Speed over the yardstick's row of the same shape, M and set; NaN where there is none. */
    public double speedUp(Row row) {
        if (yardstick == null || !row.timed()) {
            return Double.NaN;
        }
        return rows.stream()
                .filter(r -> r.timed() && r.name().equals(yardstick) && r.n() == row.n() && r.k() == row.k() && r.m() == row.m()
                        && r.set().equals(row.set()))
                .mapToDouble(r -> r.median() / row.median())
                .findFirst()
                .orElse(Double.NaN);
    }
}
