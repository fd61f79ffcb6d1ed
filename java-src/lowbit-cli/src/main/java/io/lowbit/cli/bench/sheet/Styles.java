package io.lowbit.cli.bench.sheet;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Which colour and which dashes a contender has in every plot: families share a colour, their members differ in dashes. */
final class Styles {
    private static final int DASHES = 5;

    /** Suffix of the CSS classes that carry a family's colour, and what it stands for. */
    enum Family {
        INT4("int4", "INT4"),
        BNB("bnb", "NF4, FP4"),
        E2M1("e2m1", "MXFP4, NVFP4"),
        FP8("fp8", "FP8, MXFP8"),
        DENSE("dense", "not quantized"),
        PEER("dense", "peers");

        private final String suffix;
        private final String label;

        Family(String suffix, String label) {
            this.suffix = suffix;
            this.label = label;
        }

        String suffix() {
            return suffix;
        }

        String label() {
            return label;
        }
    }

    private final Map<String, Family> families = new HashMap<>();
    private final Map<String, Integer> dashes = new HashMap<>();

    Styles(Sheet sheet) {
        Map<Family, Integer> seen = new HashMap<>();
        List<String> peers = sheet.rows().stream().filter(Row::peer).map(Row::name).distinct().toList();
        for (String name : sheet.names()) {
            Family family = peers.contains(name) ? Family.PEER : family(name);
            families.put(name, family);
            dashes.put(name, seen.merge(family, 1, Integer::sum) - 1);
        }
    }

    private static Family family(String name) {
        return name.startsWith("int4") ? Family.INT4
                : name.startsWith("nf4") || name.startsWith("fp4") ? Family.BNB
                : name.startsWith("mxfp4") || name.startsWith("nvfp4") ? Family.E2M1
                : name.startsWith("fp8") || name.startsWith("mxfp8") ? Family.FP8 : Family.DENSE;
    }

    /** Which family a name belongs to. */
    Family family(Row row) {
        return families.get(row.name());
    }

    /** The families that are there, in the order of their declaration. */
    List<Family> used() {
        return families.values().stream().distinct().sorted().toList();
    }

    /** The class of its line. */
    String line(String name) {
        return "line l-" + families.get(name).suffix + " d" + dashes.get(name) % DASHES;
    }

    /** The class of its name, and of its points. */
    String text(String name) {
        return "small n-" + families.get(name).suffix;
    }

    /** The class of its points. */
    String dot(String name) {
        return "dot f-" + families.get(name).suffix;
    }
}
