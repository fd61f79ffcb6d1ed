package io.lowbit.checkpoint;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;

/** The linear layers that a quantized model's configuration has to name as left alone. */
final class UntouchedLayers {
    private static final String EMBEDDING = "model.embed_tokens";
    private static final String HEAD = "lm_head";

    private UntouchedLayers() {}

    /**
     * Layers with float weights that {@code untouched} holds of, and the output layer of a model whose embedding is one of them and
     * doubles as its weights: no tensor of the file names that layer, yet programs that load the file make one and would look
     * for its quantized parts.
     */
    static List<String> of(Checkpoint in, Predicate<LinearWeight> untouched) {
        List<String> out = new ArrayList<>();
        in.linearWeights().stream().filter(untouched).map(LinearWeight::layer).forEach(out::add);
        for (String layer : List.copyOf(out)) {
            if (layer.endsWith(EMBEDDING)) {
                String head = layer.substring(0, layer.length() - EMBEDDING.length()) + HEAD;
                if (in.names().stream().noneMatch(name -> name.startsWith(head + "."))) {
                    out.add(head);
                }
            }
        }
        return out;
    }
}
