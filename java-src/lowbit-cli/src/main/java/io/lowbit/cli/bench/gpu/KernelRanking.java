package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.Table;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Of a run that timed kernels by themselves: the fastest for each product, beside the one that is chosen. */
public final class KernelRanking {
    private KernelRanking() {}

    /** The table's lines; none where no kernel was timed by itself. */
    public static List<String> lines(GpuReport report) {
        Map<String, List<GpuResult>> products = new LinkedHashMap<>();
        for (GpuResult r : report.results()) {
            if (r.timed() && !r.peer()) {
                products.computeIfAbsent(Forced.contender(r.name()) + "|" + r.shape() + "|" + r.m(), _ -> new ArrayList<>()).add(r);
            }
        }
        Table table = new Table("product", "N x K", ">M", ">chosen, µs", "", ">fastest, µs", "", ">chosen takes", "then");
        boolean any = false;
        for (List<GpuResult> all : products.values()) {
            GpuResult chosen = all.getFirst();
            List<GpuResult> byItself = all.stream().filter(r -> !r.name().equals(Forced.contender(r.name())))
                    .sorted((a, b) -> Double.compare(a.timing().seconds(), b.timing().seconds())).toList();
            if (byItself.isEmpty() || !chosen.name().equals(Forced.contender(chosen.name()))) {
                continue;
            }
            any = true;
            GpuResult best = byItself.getFirst();
            table.row(chosen.name(), chosen.shape(), chosen.m(), micros(chosen), chosen.kernel(), micros(best), best.kernel(),
                    String.format(Locale.ROOT, "%+.1f %%", 100 * (chosen.timing().seconds() / best.timing().seconds() - 1)),
                    byItself.size() > 1 ? byItself.get(1).kernel() + " " + micros(byItself.get(1)) : null);
        }
        return any ? table.lines() : List.of();
    }

    private static String micros(GpuResult r) {
        return String.format(Locale.ROOT, "%.2f", r.timing().seconds() * 1e6);
    }
}
