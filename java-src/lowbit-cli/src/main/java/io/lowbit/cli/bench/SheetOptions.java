package io.lowbit.cli.bench;

import io.lowbit.cli.CliException;
import io.lowbit.cli.Json;
import io.lowbit.cli.Output;
import io.lowbit.cli.Table;
import io.lowbit.cli.bench.sheet.Comparison;
import io.lowbit.cli.bench.sheet.Csv;
import io.lowbit.cli.bench.sheet.Page;
import io.lowbit.cli.bench.sheet.Sheet;
import io.lowbit.cli.report.TextFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Option;

/** Where a finished benchmark goes beside the table. Use as {@code @Mixin SheetOptions files}. */
final class SheetOptions {
    @Option(names = "--save", paramLabel = "FILE", description = "Write the result as JSON, for --compare, also while it grows.")
    private Path save;

    @Option(names = "--csv", paramLabel = "FILE", description = "Write one line a case, also while they come.")
    private Path csv;

    @Option(names = "--html", paramLabel = "FILE", description = "Write one page with the roofline, the plots over M and the table.")
    private Path html;

    @Option(names = "--plots", paramLabel = "FOLDER", description = "Write the page's plots as SVG files.")
    private Path plots;

    @Option(names = "--compare", paramLabel = "FILE", description = "Put an earlier result (--save, --json) beside this one and mark what moved by more than the noise.")
    private Path compare;

    private String earlier;

    /** Reads what is compared with, before the time is spent. */
    void prepare() throws IOException {
        if (compare != null) {
            earlier = Files.readString(compare);
            comparison(new Sheet(Instant.EPOCH, "", List.of(), null, List.of()));
        }
        if (plots != null) {
            Files.createDirectories(plots);
        }
    }

    /** True where cases have a file to go to while they come. */
    boolean keepsCases() {
        return csv != null || save != null;
    }

    /** Writes the cases there are so far, so that whoever ends the run early keeps them. */
    void cases(Sheet sheet, Map<String, Object> document) throws IOException {
        if (csv != null) {
            TextFile.write(csv, Csv.text(sheet));
        }
        if (save != null) {
            TextFile.write(save, Json.write(document) + "\n");
        }
    }

    /** Writes the page and the plots of what there is so far. */
    void pages(Sheet sheet) throws IOException {
        if (html != null) {
            TextFile.write(html, Page.html(sheet));
        }
        if (plots != null) {
            for (Map.Entry<String, String> file : Page.plots(sheet).entrySet()) {
                TextFile.write(plots.resolve(file.getKey()), file.getValue());
            }
        }
    }

    /**
     * Writes the files and prints the comparison.
     *
     * @param document of {@code --json}; gets the comparison added
     */
    void finish(Sheet sheet, Map<String, Object> document, Output out) throws IOException {
        pages(sheet);
        if (compare != null) {
            Comparison comparison = comparison(sheet);
            print(comparison, out);
            document.put("comparison", document(comparison));
        }
        cases(sheet, document);
    }

    private Comparison comparison(Sheet sheet) {
        try {
            return Comparison.of(sheet, earlier);
        } catch (IllegalArgumentException e) {
            throw new CliException("bench gemm: " + compare + ": " + e.getMessage(), e);
        }
    }

    private void print(Comparison c, Output out) {
        out.line("");
        out.line("against " + compare + " of " + c.earlier());
        Table table = new Table("contender", "N x K", ">M", "set", ">µs then", ">now", ">change", ">noise", "");
        for (Comparison.Line line : c.lines()) {
            table.row(line.row().name(), line.row().n() + "x" + line.row().k(), line.row().m(), line.row().set(), micros(line.before()),
                    micros(line.now()), text("%+.1f %%", 100 * line.change()), text("%.1f %%", 100 * line.noise()), mark(line.move()));
        }
        out.table(table);
        for (String key : c.gone()) {
            out.line("only then  " + key);
        }
        for (String key : c.fresh()) {
            out.line("only now   " + key);
        }
        out.line(text("%d faster, %d slower, %d within the noise; median change of %d cases %.2f %%", c.count(Comparison.Move.FASTER),
                c.count(Comparison.Move.SLOWER), c.count(Comparison.Move.SAME), c.lines().size(), 100 * c.medianChange()));
    }

    private static String mark(Comparison.Move move) {
        return switch (move) {
            case FASTER -> "faster";
            case SLOWER -> "SLOWER";
            case SAME -> "";
        };
    }

    private static Map<String, Object> document(Comparison c) {
        Map<String, Object> d = new LinkedHashMap<>();
        d.put("earlier", c.earlier());
        d.put("median_change", c.medianChange());
        List<Map<String, Object>> lines = c.lines().stream().map(line -> {
            Map<String, Object> e = new LinkedHashMap<>();
            e.put("case", line.row().key());
            e.put("nanos_before", line.before());
            e.put("nanos_now", line.now());
            e.put("change", line.change());
            e.put("noise", line.noise());
            e.put("move", line.move().name().toLowerCase(Locale.ROOT));
            return e;
        }).toList();
        d.put("cases", lines);
        d.put("only_before", c.gone());
        d.put("only_now", c.fresh());
        return d;
    }

    private static String micros(double nanos) {
        return nanos < 100_000 ? text("%.2f", nanos * 1e-3) : text("%.1f", nanos * 1e-3);
    }

    private static String text(String format, Object... args) {
        return String.format(Locale.ROOT, format, args);
    }
}
