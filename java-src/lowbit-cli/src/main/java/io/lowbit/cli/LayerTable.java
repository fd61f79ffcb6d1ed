package io.lowbit.cli;

import io.lowbit.checkpoint.CheckpointQuantizer.LayerResult;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What quantizing did to each layer and to all of them: shape, scheme, bits a weight, SQNR. */
final class LayerTable {
    private final List<LayerResult> results;
    private final double weights;
    private final double bits;
    private final double decibels;

    LayerTable(List<LayerResult> results) {
        this.results = results;
        this.weights = results.stream().mapToDouble(r -> (double) r.n() * r.k()).sum();
        this.bits = 8.0 * results.stream().mapToLong(LayerResult::bytes).sum() / weights;
        double signal = results.stream().mapToDouble(r -> r.sqnr().signal()).sum();
        double noise = results.stream().mapToDouble(r -> r.sqnr().noise()).sum();
        this.decibels = 10 * Math.log10(signal / noise);
    }

    Table table() {
        Table table = new Table("layer", ">shape", "scheme", ">bits/weight", ">SQNR dB");
        for (LayerResult r : results) {
            table.row(r.layer(), r.n() + "x" + r.k(), r.scheme().label(), digits(r.bitsPerWeight(), 3), digits(r.sqnr().decibels(), 2));
        }
        table.row("all " + results.size() + " layers", String.format(Locale.ROOT, "%.0f", weights), "", digits(bits, 3), digits(decibels, 2));
        return table;
    }

    Map<String, Object> document() {
        List<Object> rows = new ArrayList<>();
        for (LayerResult r : results) {
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("layer", r.layer());
            row.put("shape", List.of(r.n(), r.k()));
            row.put("scheme", r.scheme().label());
            row.put("bits_per_weight", r.bitsPerWeight());
            row.put("bytes", r.bytes());
            row.put("sqnr_db", r.sqnr().decibels());
            rows.add(row);
        }
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("bits_per_weight", bits);
        document.put("sqnr_db", decibels);
        document.put("layers", rows);
        return document;
    }

    private static String digits(double value, int places) {
        return Double.isNaN(value) ? "n/a" : Double.isInfinite(value) ? "exact" : String.format(Locale.ROOT, "%." + places + "f", value);
    }
}
