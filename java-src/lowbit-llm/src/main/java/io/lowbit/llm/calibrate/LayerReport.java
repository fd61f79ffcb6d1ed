package io.lowbit.llm.calibrate;

/**
 * How one layer's calibration went.
 *
 * @param layer its name
 * @param rows calibration rows its inputs were summed over
 * @param note one line on what was out of the ordinary; empty where nothing was
 */
public record LayerReport(String layer, long rows, String note) {}
