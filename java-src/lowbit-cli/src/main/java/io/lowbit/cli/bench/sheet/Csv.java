package io.lowbit.cli.bench.sheet;

import java.util.Locale;

/** A sheet as comma-separated values: one line a case; times in microseconds, rates in GB/s and TFLOP/s. */
public final class Csv {
    private static final String HEAD = "name,peer,n,k,m,set,median_us,min_us,p95_us,first_us,noise,mhz,gb_per_s,tflops,of_roofline,speed_up,kernel,reason";

    private Csv() {}

    /** The whole file. */
    public static String text(Sheet sheet) {
        StringBuilder out = new StringBuilder(HEAD).append('\n');
        for (Row r : sheet.rows()) {
            out.append(quoted(r.name())).append(',').append(r.peer()).append(',').append(r.n()).append(',').append(r.k()).append(',')
                    .append(r.m()).append(',').append(r.set());
            number(out, "%.3f", r.median() * 1e-3);
            number(out, "%.3f", r.min() * 1e-3);
            number(out, "%.3f", r.p95() * 1e-3);
            number(out, "%.3f", r.first() * 1e-3);
            number(out, "%.4f", r.noise());
            number(out, "%.0f", r.mhz());
            number(out, "%.2f", r.timed() ? r.throughput() * 1e-9 : Double.NaN);
            number(out, "%.4f", r.timed() ? r.rate() * 1e-12 : Double.NaN);
            number(out, "%.4f", r.timed() ? r.ofRoofline() : Double.NaN);
            number(out, "%.4f", sheet.speedUp(r));
            out.append(',').append(quoted(r.kernel())).append(',').append(quoted(r.reason())).append('\n');
        }
        return out.toString();
    }

    private static void number(StringBuilder out, String format, double value) {
        out.append(',');
        if (!Double.isNaN(value)) {
            out.append(String.format(Locale.ROOT, format, value));
        }
    }

    /** RFC 4180: text with a comma, a quote or a line end stands between quotes. */
    private static String quoted(String text) {
        if (text == null) {
            return "";
        }
        return text.matches("[^,\"\r\n]*") ? text : '"' + text.replace("\"", "\"\"") + '"';
    }
}
