package io.lowbit.cuda.kernels;

import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.DType;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/** The measured table that picks kernels: the text of {@code choice.txt}, which describes its columns. */
final class KernelTable {
    private static final String RESOURCE = "choice.txt";

    private final List<Rule> rules;

    private KernelTable(List<Rule> rules) {
        this.rules = rules;
    }

    /**
     * One line.
     *
     * @param x patterns of the activations' type or quantization
     */
    record Rule(Pattern device, Pattern scheme, List<Pattern> x, Range m, Range n, Range k, ProductKernel kernel) {
        /** True where the line speaks of this matrix and these activations; M is left open. */
        boolean fits(MatrixShape w, DType type, ActivationScaling scaling) {
            String activations = scaling == null ? name(type) : scaling.label();
            return scheme.matcher(w.scheme().label().replace(' ', '_')).matches() && n.has(w.n()) && k.has(w.k())
                    && x.stream().anyMatch(p -> p.matcher(activations).matches());
        }

        private static String name(DType type) {
            return type.name().toLowerCase(Locale.ROOT);
        }
    }

    /** Numbers {@code from} to {@code to}, both included. */
    record Range(long from, long to) {
        boolean has(long value) {
            return value >= from && value <= to;
        }

        static Range parse(String text) {
            if (text.equals("*")) {
                return new Range(0, Long.MAX_VALUE);
            }
            int dash = text.indexOf('-');
            if (dash < 0) {
                return new Range(Long.parseLong(text), Long.parseLong(text));
            }
            return new Range(Long.parseLong(text.substring(0, dash)),
                    dash == text.length() - 1 ? Long.MAX_VALUE : Long.parseLong(text.substring(dash + 1)));
        }
    }

    /** The table in the jar. */
    static KernelTable fromJar() {
        return parse(new String(Kernels.ptx(RESOURCE), StandardCharsets.UTF_8));
    }

    /**
     * A table from its text.
     *
     * @throws IllegalArgumentException naming the line that is not one
     */
    static KernelTable parse(String text) {
        List<Rule> rules = new ArrayList<>();
        int number = 0;
        for (String line : text.lines().toList()) {
            number++;
            String[] fields = line.strip().split("\\s+");
            if (line.isBlank() || fields[0].startsWith("#")) {
                continue;
            }
            if (fields.length != 7) {
                throw new IllegalArgumentException("kernel table, line " + number + ": expected 7 columns, got " + fields.length);
            }
            try {
                List<Pattern> x = new ArrayList<>();
                for (String part : fields[2].split("\\|")) {
                    // A bare star is about plain activations: how they are quantized has a dash in its name.
                    x.add(part.equals("*") ? Pattern.compile("[^-]*") : glob(part));
                }
                rules.add(new Rule(glob(fields[0]), glob(fields[1]), x, Range.parse(fields[3]), Range.parse(fields[4]), Range.parse(fields[5]),
                        Catalogue.kernel(fields[6])));
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException("kernel table, line " + number + ": " + e.getMessage(), e);
            }
        }
        return new KernelTable(List.copyOf(rules));
    }

    /** The lines for a device, in order. */
    List<Rule> rules(Kernels kernels) {
        String name = kernels.context().device().name().replace(' ', '_');
        String target = kernels.architecture().target();
        return rules.stream()
                .filter(r -> r.kernel.runsOn(kernels.architecture()))
                .filter(r -> r.device.matcher(name).matches() || r.device.matcher(target).matches()).toList();
    }

    private static Pattern glob(String text) {
        StringBuilder regex = new StringBuilder();
        for (String part : text.splitWithDelimiters("\\*", 0)) {
            regex.append(part.equals("*") ? ".*" : Pattern.quote(part));
        }
        return Pattern.compile(regex.toString());
    }
}
