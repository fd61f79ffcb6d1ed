package io.lowbit.cli.report;

import java.util.List;

/**
 * All that the page shows.
 *
 * @param model the model's name and size in words
 * @param machine lines that say what it ran on
 * @param protocol lines that say how each figure was measured
 * @param results one for each scheme, the model as it is first
 * @param layers names of the linear layers, in the order of {@link SchemeResult#sqnr()}
 * @param prompt what the model was asked to continue
 * @param continuation what it wrote, by the scheme {@code continuationScheme}; null where nothing was asked
 * @param title the page's heading
 * @param layerError what the decibels of {@link SchemeResult#sqnr()} are taken of, in a sentence
 */
public record Report(
        String model,
        List<String> machine,
        List<String> protocol,
        List<SchemeResult> results,
        List<String> layers,
        String prompt,
        String continuation,
        String continuationScheme,
        String title,
        String layerError) {
    /** Errors of the weights, under the demo's heading. */
    public Report(String model, List<String> machine, List<String> protocol, List<SchemeResult> results, List<String> layers, String prompt,
            String continuation, String continuationScheme) {
        this(model, machine, protocol, results, layers, prompt, continuation, continuationScheme, "One language model in every 4- and 8-bit format",
                "Signal-to-quantization-noise ratio of each weight matrix");
    }

    public Report {
        machine = List.copyOf(machine);
        protocol = List.copyOf(protocol);
        results = List.copyOf(results);
        layers = List.copyOf(layers);
        if (results.isEmpty()) {
            throw new IllegalArgumentException("report: expected at least one result");
        }
        for (SchemeResult result : results) {
            if (!result.sqnr().isEmpty() && result.sqnr().size() != layers.size()) {
                throw new IllegalArgumentException("report: scheme " + result.label() + " has " + result.sqnr().size()
                        + " layer errors, expected " + layers.size());
            }
        }
    }

    /** The model as it is stored, which every scheme is compared with. */
    public SchemeResult reference() {
        return results.getFirst();
    }
}
