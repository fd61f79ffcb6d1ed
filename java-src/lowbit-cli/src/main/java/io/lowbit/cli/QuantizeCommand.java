package io.lowbit.cli;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.CheckpointQuantizer;
import io.lowbit.checkpoint.CheckpointQuantizer.LayerResult;
import io.lowbit.checkpoint.Globs;
import io.lowbit.checkpoint.Layout;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.quant.Scheme;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code lowbit quantize}: a float checkpoint to a quantized one. */
@Command(name = "quantize", description = "Quantize a float checkpoint: a safetensors file, a folder with shards, or an ONNX file.")
final class QuantizeCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Parameters(index = "0", paramLabel = "IN", description = "The model: a .safetensors or .onnx file, or a folder.")
    private Path in;

    @Parameters(index = "1", paramLabel = "OUT", description = "A .safetensors file, or a new folder.")
    private Path out;

    @Mixin
    private SchemeOptions scheme;

    @Option(names = "--layout", paramLabel = "L",
            description = "How the file names and packs its parts. One of bitsandbytes, compressed-tensors, fp8, gptq, awq, gguf (OUT.gguf), modelopt, gpt-oss. Default: nf4, fp4: bitsandbytes; int4, mxfp4, nvfp4: "
                    + "compressed-tensors; fp8-*: fp8.")
    private String layout;

    @Option(names = "--include", paramLabel = "GLOB", description = "Quantize only layers of these names. Default: all 2-D weights of linear layers.")
    private List<String> include = List.of();

    @Option(names = "--exclude", paramLabel = "GLOB",
            description = "Leave layers of these names. Without --include, embeddings, lm_head and norms are left too.")
    private List<String> exclude = List.of();

    @Option(names = "--config", paramLabel = "FILE", description = "The model's configuration. Default: config.json beside it.")
    private Path config;

    @Mixin
    private ThreadsOption threads;

    @Mixin
    private Output output;

    @Override
    public Integer call() throws Exception {
        Scheme wanted = scheme.one().orElseThrow(() -> new ParameterException(spec.commandLine(), "--scheme is needed: it has no default"));
        if (wanted instanceof Scheme.Dense) {
            throw new ParameterException(spec.commandLine(), "--scheme " + wanted.label() + " is not quantized: take one of 4 or 8 bits");
        }
        Layout chosen = layout == null ? Layouts.defaultFor(wanted) : Layouts.named(layout, wanted);
        Globs globs = new Globs(include, exclude);
        List<LayerResult> results;
        long kept;
        try (Checkpoint checkpoint = Checkpoint.open(in, config)) {
            output.note(scheme.describe(wanted) + "; layout " + chosen.name());
            checkpoint.notes().forEach(output::note);
            int layers = CheckpointQuantizer.select(checkpoint, globs).size();
            kept = checkpoint.names().size() - layers;
            try (Progress progress = output.progress("quantize", layers)) {
                results = CheckpointQuantizer.quantize(checkpoint, out, wanted, scheme.options(threads.count()), chosen, globs,
                        r -> progress.step(1, r.layer()));
            }
        }
        Table table = new Table("layer", ">shape", ">bits/weight", ">SQNR dB");
        List<Object> rows = new ArrayList<>();
        double signal = 0;
        double noise = 0;
        long bytes = 0;
        double weights = 0;
        for (LayerResult r : results) {
            table.row(r.layer(), r.n() + "x" + r.k(), digits(r.bitsPerWeight(), 3), digits(r.sqnr().decibels(), 2));
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("layer", r.layer());
            row.put("shape", List.of(r.n(), r.k()));
            row.put("bits_per_weight", r.bitsPerWeight());
            row.put("bytes", r.bytes());
            row.put("sqnr_db", r.sqnr().decibels());
            rows.add(row);
            signal += r.sqnr().signal();
            noise += r.sqnr().noise();
            bytes += r.bytes();
            weights += (double) r.n() * r.k();
        }
        double total = 10 * Math.log10(signal / noise);
        table.row("all " + results.size() + " layers", String.format(Locale.ROOT, "%.0f", weights), digits(8.0 * bytes / weights, 3), digits(total, 2));
        output.table(table);
        output.line("%s: %s, layout %s; %d other tensors copied as they are", out, wanted.label(), chosen.name(), kept);
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("out", out.toString());
        document.put("scheme", wanted.label());
        document.put("layout", chosen.name());
        document.put("bits_per_weight", 8.0 * bytes / weights);
        document.put("sqnr_db", total);
        document.put("copied_tensors", kept);
        document.put("layers", rows);
        output.document(document);
        return 0;
    }

    private static String digits(double value, int places) {
        return Double.isNaN(value) ? "n/a" : Double.isInfinite(value) ? "exact" : String.format(Locale.ROOT, "%." + places + "f", value);
    }
}
