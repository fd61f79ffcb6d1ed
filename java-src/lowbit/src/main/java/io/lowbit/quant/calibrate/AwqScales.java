package io.lowbit.quant.calibrate;

/**
 * What AWQ found for the layers that share an input: weights are multiplied by {@code scales}, column by column, and the
 * input divided by them.
 *
 * @param scales {@code [K]}, positive
 * @param ratio the exponent of the activations' magnitudes that won; 0 with ones as scales where nothing beat rounding
 * @param error relative squared output error over the rows searched, with the scales
 * @param roundingError the same without scales
 */
public record AwqScales(float[] scales, double ratio, double error, double roundingError) {}
