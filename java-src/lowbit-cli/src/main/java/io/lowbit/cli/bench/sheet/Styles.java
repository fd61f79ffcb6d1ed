package io.lowbit.cli.bench.sheet;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Which colour and which dashes a contender has in every plot: families share a colour, their members differ in dashes. */
final class Styles {
    private static final int DASHES = 5;

    private final Map<String, String> families = new HashMap<>();
    private final Map<String, Integer> dashes = new HashMap<>();

    Styles(Sheet sheet) {
        Map<String, Integer> seen = new HashMap<>();
        List<String> peers = sheet.rows().stream().filter(Row::peer).map(Row::name).distinct().toList();
        for (String name : sheet.names()) {
            String family = peers.contains(name) ? "dense" : family(name);
            families.put(name, family);
            dashes.put(name, seen.merge(family, 1, Integer::sum) - 1);
        }
    }

    private static String family(String name) {
        return name.startsWith("int4") ? "int4"
                : name.startsWith("nf4") || name.startsWith("fp4") ? "bnb"
                : name.startsWith("mxfp4") || name.startsWith("nvfp4") ? "e2m1"
                : name.startsWith("fp8") ? "fp8" : "dense";
    }

    /** Suffix of the CSS classes that carry its colour. */
    String family(Row row) {
        return families.get(row.name());
    }

    /** The class of its line. */
    String line(String name) {
        return "line l-" + families.get(name) + " d" + dashes.get(name) % DASHES;
    }

    /** The class of its name. */
    String text(String name) {
        return "small n-" + families.get(name);
    }
}
