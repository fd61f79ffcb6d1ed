package io.lowbit.cli.report;

import java.util.ArrayList;
import java.util.List;

/**
 * Places values on a line of pixels, linear or logarithmic.
 *
 * @param low value at pixel {@code from}
 * @param high value at pixel {@code to}
 */
public record Axis(double low, double high, double from, double to, boolean log) {
    /** Values of one decade that read as round on a logarithmic axis. */
    private static final double[] LOG_TICKS = {1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8};

    /** An axis around values with a margin of {@code margin} of their range at both ends. */
    public static Axis around(double min, double max, double margin, double from, double to, boolean log) {
        if (log) {
            double l = Math.log(min);
            double pad = Math.max(Math.log(max) - l, 0.05) * margin;
            return new Axis(Math.exp(l - pad), Math.exp(Math.log(max) + pad), from, to, true);
        }
        double pad = Math.max(max - min, Math.abs(max) * 0.01 + 1e-9) * margin;
        return new Axis(min - pad, max + pad, from, to, false);
    }

    /** The pixel of a value. */
    public double at(double value) {
        double part = log
                ? (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low))
                : (value - low) / (high - low);
        return from + part * (to - from);
    }

    /** Round values at least {@code gap} pixels apart. */
    public List<Double> ticks(double gap) {
        List<Double> ticks = new ArrayList<>();
        if (log) {
            for (double power = Math.pow(10, Math.floor(Math.log10(low))); power <= high; power *= 10) {
                for (double factor : LOG_TICKS) {
                    double value = factor * power;
                    if (value >= low && value <= high
                            && (ticks.isEmpty() || Math.abs(at(value) - at(ticks.getLast())) >= gap)) {
                        ticks.add(value);
                    }
                }
            }
            return ticks;
        }
        double step = step((high - low) / Math.max(1, Math.abs(to - from) / gap));
        for (long i = (long) Math.ceil(low / step); i * step <= high; i++) {
            ticks.add(i * step);
        }
        return ticks;
    }

    /** The next of 1, 2, 5 times a power of ten. */
    private static double step(double atLeast) {
        double power = Math.pow(10, Math.floor(Math.log10(atLeast)));
        for (double factor : new double[] {1, 2, 5}) {
            if (factor * power >= atLeast * 0.999) {
                return factor * power;
            }
        }
        return 10 * power;
    }

    /** A tick's text: as few decimals as show it. */
    public static String label(double value) {
        for (int decimals = 0; decimals < 6; decimals++) {
            String text = Svg.format("%." + decimals + "f", value);
            if (Math.abs(Double.parseDouble(text) - value) <= Math.abs(value) * 1e-9) {
                return text;
            }
        }
        return Svg.format("%.3g", value);
    }
}
