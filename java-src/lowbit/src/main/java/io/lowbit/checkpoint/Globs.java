package io.lowbit.checkpoint;

import java.util.List;
import java.util.regex.Pattern;

/**
 * Which linear weights to quantize: names against globs, {@code *} any characters, {@code ?} one.
 *
 * @param include where not empty, only layers that match one of these
 * @param exclude never layers that match one of these
 */
public record Globs(List<String> include, List<String> exclude) {
    /** Embeddings, heads and norms: not linear layers, or worth their bits. Left out unless {@code include} names layers. */
    public static final List<String> DEFAULT_EXCLUDE = List.of("*embed*", "*lm_head*", "*norm*", "*Norm*", "wte", "*.wte", "wpe", "*.wpe");

    public Globs {
        include = List.copyOf(include);
        exclude = List.copyOf(exclude);
    }

    /** True where {@code weight} is to be quantized; its layer or its tensor may match. */
    public boolean takes(LinearWeight weight) {
        if (any(exclude, weight)) {
            return false;
        }
        return include.isEmpty() ? !any(DEFAULT_EXCLUDE, weight) : any(include, weight);
    }

    private static boolean any(List<String> globs, LinearWeight weight) {
        return globs.stream().map(Globs::pattern).anyMatch(p -> p.matcher(weight.layer()).matches() || p.matcher(weight.tensor()).matches());
    }

    private static Pattern pattern(String glob) {
        StringBuilder out = new StringBuilder();
        glob.chars().forEach(c -> out.append(c == '*' ? ".*" : c == '?' ? "." : Pattern.quote(Character.toString(c))));
        return Pattern.compile(out.toString());
    }
}
