package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.Table;
import io.lowbit.cli.bench.GemmShape;
import io.lowbit.cli.bench.cublaslt.Operands;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Another harness's figures of cuBLASLt beside this run's, taken the same way: {@link GpuResult.Brief}.
 *
 * @param lines one for each case that both have, in this run's order
 */
public record Agreement(List<Line> lines) {
    /** Columns that a file must have, by name; what else it has is not looked at. */
    static final List<String> COLUMNS = List.of("op", "M", "N", "K", "median_us");

    /**
     * One case in both.
     *
     * @param theirs nanoseconds in the other harness
     * @param brief nanoseconds here, timed the same way
     * @param best nanoseconds here of the fastest suggestion in long replays
     */
    public record Line(String name, GemmShape shape, int m, double theirs, double brief, double best) {}

    /**
     * Another harness's figures.
     *
     * @param micros by operation, M, N and K
     */
    public record Theirs(Map<String, Double> micros) {}

    /** Compares. */
    public static Agreement of(GpuReport report, Theirs theirs) {
        List<Line> lines = new ArrayList<>();
        for (GpuResult r : report.results()) {
            for (Operands operands : Operands.values()) {
                if (r.brief() == null || !r.name().equals(GpuBench.peerName(operands))) {
                    continue;
                }
                Double micros = theirs.micros.get(key(operation(operands), r.m(), r.shape().n(), r.shape().k()));
                if (micros != null) {
                    lines.add(new Line(r.name(), r.shape(), r.m(), 1e3 * micros, r.brief().timing().nanos().median(), r.timing().nanos().median()));
                }
            }
        }
        return new Agreement(lines);
    }

    /** What reaches the same product in PyTorch: {@code bf16_mm}, or {@code fp8_scaled_mm_…} with the scales and the way to add up. */
    static String operation(Operands operands) {
        return !operands.fp8() ? "bf16_mm" : "fp8_scaled_mm_" + (operands.rows() ? "rowwise" : "tensor") + "_fastacc" + (operands.fast() ? 1 : 0);
    }

    private static String key(String operation, long m, long n, long k) {
        return operation + "," + m + "," + n + "," + k;
    }

    /**
     * Reads figures.
     *
     * @param csv comma-separated values with a head; {@code op} is PyTorch's operation as {@link #operation} names it
     * @throws IllegalArgumentException when the text is no such table
     */
    public static Theirs read(String csv) {
        List<String> rows = csv.lines().filter(line -> !line.isBlank()).toList();
        List<String> head = rows.isEmpty() ? List.of() : List.of(rows.getFirst().strip().split(","));
        int[] at = COLUMNS.stream().mapToInt(head::indexOf).toArray();
        for (int i = 0; i < at.length; i++) {
            if (at[i] < 0) {
                throw new IllegalArgumentException("its first line lacks the column " + COLUMNS.get(i) + ": expected " + String.join(", ", COLUMNS));
            }
        }
        Map<String, Double> found = new LinkedHashMap<>();
        for (int line = 1; line < rows.size(); line++) {
            String[] cells = rows.get(line).strip().split(",");
            try {
                found.put(key(cells[at[0]], Long.parseLong(cells[at[1]]), Long.parseLong(cells[at[2]]), Long.parseLong(cells[at[3]])),
                        Double.parseDouble(cells[at[4]]));
            } catch (NumberFormatException | ArrayIndexOutOfBoundsException e) {
                throw new IllegalArgumentException("line " + (line + 1) + " is no case: expected numbers under " + String.join(", ", COLUMNS.subList(1, 5)), e);
            }
        }
        return new Theirs(found);
    }

    /** How many cases lie within {@code part} of the other harness's figure. */
    public long within(double part) {
        return lines.stream().filter(line -> Math.abs(line.brief / line.theirs - 1) <= part).count();
    }

    /** The median of brief / theirs; NaN where there is no case. */
    public double median() {
        double[] ratios = lines.stream().mapToDouble(line -> line.brief / line.theirs).sorted().toArray();
        int n = ratios.length;
        return n == 0 ? Double.NaN : (ratios[(n - 1) / 2] + ratios[n / 2]) / 2;
    }

    /** For people. */
    public List<String> text() {
        Table table = new Table("peer", "N x K", ">M", ">µs theirs", ">first, brief", ">", ">best, long", ">");
        for (Line line : lines) {
            table.row(line.name, line.shape, line.m, micros(line.theirs), micros(line.brief), change(line.brief / line.theirs), micros(line.best),
                    change(line.best / line.theirs));
        }
        List<String> text = new ArrayList<>(table.lines());
        text.add(String.format(Locale.ROOT, "%d of %d within 5 %%, %d within 10 %%; brief / theirs %.3f in the median", within(0.05), lines.size(), within(0.1),
                median()));
        return text;
    }

    /** For programs. */
    public Map<String, Object> document() {
        Map<String, Object> d = new LinkedHashMap<>();
        d.put("cases", lines.size());
        d.put("within_5_percent", within(0.05));
        d.put("within_10_percent", within(0.1));
        d.put("median_ratio", median());
        return d;
    }

    private static String micros(double nanos) {
        return String.format(Locale.ROOT, "%.2f", nanos * 1e-3);
    }

    private static String change(double ratio) {
        return String.format(Locale.ROOT, "%+.1f %%", 100 * (ratio - 1));
    }
}
