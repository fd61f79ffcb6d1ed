package io.lowbit.llm.calibrate;

import io.lowbit.quant.Scheme;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * Which scheme each linear layer gets.
 *
 * @param layers schemes by layer name; {@link Scheme.Dense} leaves a layer as it is stored
 * @param others the scheme of layers not named; null leaves them as they are stored
 */
public record Recipe(Map<String, Scheme> layers, Scheme others) {
    public Recipe {
        layers = new LinkedHashMap<>(layers);
    }

    /** One scheme for all. */
    public static Recipe uniform(Scheme scheme) {
        return new Recipe(Map.of(), scheme);
    }

    /** The scheme of {@code layer}; null leaves it as it is stored. */
    public Scheme of(String layer) {
        Scheme scheme = layers.getOrDefault(layer, others);
        return scheme instanceof Scheme.Dense ? null : scheme;
    }

    /**
     * Makes sure that every layer named is one of the model's.
     *
     * @throws IllegalArgumentException naming those that are not
     */
    public void require(Set<String> model) {
        Set<String> unknown = new TreeSet<>(layers.keySet());
        unknown.removeAll(model);
        if (!unknown.isEmpty()) {
            throw new IllegalArgumentException("the recipe names " + unknown.size() + " layers that the model does not have, among them "
                    + unknown.iterator().next() + "; take the recipe of this model");
        }
    }
}
