package io.lowbit.quant;

/**
 * Search for the clipping range of an INT4 group that loses least, as GPTQ's {@code mse} option: for
 * p = 1 − i/grid, i &lt; maxShrink·grid, the range is shrunk by p and the loss Σ|w − ŵ|^norm compared.
 *
 * @param norm exponent of the loss; GPTQ uses 2.4
 * @param grid steps that the full range is divided into; 100
 * @param maxShrink part of the steps tried; 0.8
 */
public record ClipSearch(double norm, int grid, double maxShrink) {
    /** GPTQ's values: 2.4, 100, 0.8. */
    public static final ClipSearch GPTQ = new ClipSearch(2.4, 100, 0.8);

    public ClipSearch {
        if (!(norm > 0) || grid < 1 || !(maxShrink > 0) || maxShrink > 1) {
            throw new IllegalArgumentException("clip search norm " + norm + ", grid " + grid + ", max shrink " + maxShrink
                    + ": expected norm > 0, grid >= 1, 0 < max shrink <= 1");
        }
    }
}
