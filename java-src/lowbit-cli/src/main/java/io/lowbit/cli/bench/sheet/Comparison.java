package io.lowbit.cli.bench.sheet;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonValue;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An earlier run beside this one: what moved by more than both runs' own noise.
 *
 * @param earlier when the earlier run began
 * @param lines one for each case that both have, in this run's order
 * @param gone cases that only the earlier run has
 * @param fresh cases that only this run has
 */
public record Comparison(String earlier, List<Line> lines, List<String> gone, List<String> fresh) {
    /** The clock's steps and the choice of samples alone move a median by so much. */
    private static final double LEAST_NOISE = 0.005;

    /** What became of a case. */
    public enum Move {
        FASTER,
        SLOWER,
        SAME
    }

    /**
     * One case in both runs.
     *
     * @param before median nanoseconds of the earlier run
     * @param now median nanoseconds of this run
     * @param noise of both together, as a part of the time
     */
    public record Line(Row row, double before, double now, double noise) {
        /** now / before − 1. */
        public double change() {
            return now / before - 1;
        }

        /** Whether the change is more than the noise. */
        public Move move() {
            return Math.abs(change()) <= noise ? Move.SAME : change() < 0 ? Move.FASTER : Move.SLOWER;
        }
    }

    private record Earlier(double median, double noise) {}

    /**
     * Compares.
     *
     * @param json what {@code --json} or {@code --save} wrote in the earlier run
     * @throws IllegalArgumentException when the text is no such document
     */
    public static Comparison of(Sheet now, String json) {
        JsonObject document;
        Map<String, Earlier> before = new LinkedHashMap<>();
        try {
            document = JsonReader.parseObject(json);
            if (!document.text("benchmark", "").equals("gemm")) {
                throw new IllegalArgumentException("no result of bench gemm: expected what --save or --json wrote");
            }
            for (JsonValue value : document.list("cases")) {
                if (value instanceof JsonObject c && c.text("status").equals("timed")) {
                    before.put(c.text("name") + " " + c.integer("n") + "x" + c.integer("k") + " M=" + c.integer("m") + " " + c.text("set"),
                            new Earlier(c.object("nanos").number("median"), c.number("noise")));
                }
            }
        } catch (JsonException e) {
            throw new IllegalArgumentException("no result of bench gemm: " + e.getMessage(), e);
        }
        List<Line> lines = new ArrayList<>();
        List<String> fresh = new ArrayList<>();
        for (Row row : now.rows()) {
            if (!row.timed()) {
                continue;
            }
            Earlier earlier = before.remove(row.key());
            if (earlier == null) {
                fresh.add(row.key());
            } else {
                lines.add(new Line(row, earlier.median, row.median(), LEAST_NOISE + earlier.noise + row.noise()));
            }
        }
        return new Comparison(document.text("when", "an unknown time"), lines, new ArrayList<>(before.keySet()), fresh);
    }

    /** How many cases moved so. */
    public long count(Move move) {
        return lines.stream().filter(line -> line.move() == move).count();
    }

    /** The median of |now / before − 1| over all cases; NaN where there are none. */
    public double medianChange() {
        double[] changes = lines.stream().mapToDouble(line -> Math.abs(line.change())).sorted().toArray();
        int n = changes.length;
        return n == 0 ? Double.NaN : (changes[(n - 1) / 2] + changes[n / 2]) / 2;
    }
}
