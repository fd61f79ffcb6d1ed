package io.lowbit.cli.report;

import io.lowbit.quant.Scheme;
import java.util.List;

/**
 * What was measured for one scheme.
 *
 * @param label the scheme's label, for tables and plots
 * @param scheme how the linear layers were stored; dense for the model as it is
 * @param perplexity on the stated windows
 * @param bitsPerWeight of the linear layers, scales included
 * @param linearBytes bytes of the quantized linear layers: codes, scales and zero points
 * @param totalBytes the whole model: the above, embeddings, norms and head as stored
 * @param promptTokensPerSecond tokens of the prompt processed at once, each second
 * @param decodeTokensPerSecond tokens generated one by one, each second
 * @param sqnr signal-to-quantization-noise ratio in dB of each linear layer, in the report's layer order; empty for
 *     the model as it is
 */
public record SchemeResult(
        String label,
        Scheme scheme,
        double perplexity,
        double bitsPerWeight,
        long linearBytes,
        long totalBytes,
        double promptTokensPerSecond,
        double decodeTokensPerSecond,
        List<Double> sqnr) {
    public SchemeResult {
        sqnr = List.copyOf(sqnr);
    }

    /** SQNR over all layers in dB: the mean of the layers' dB values; NaN where there are none. */
    public double meanSqnr() {
        return sqnr.stream().mapToDouble(Double::doubleValue).average().orElse(Double.NaN);
    }
}
