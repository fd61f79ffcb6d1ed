package io.lowbit.cli;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.TensorSpec;
import io.lowbit.quant.QuantizedMatrix;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code lowbit inspect}: what a checkpoint holds. */
@Command(name = "inspect", description = "Tensors, layouts, schemes, shapes, bits per weight and metadata of a checkpoint.")
final class InspectCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "FILE", description = "A .safetensors or .onnx file, or a folder.")
    private Path file;

    @Option(names = "--config", paramLabel = "FILE", description = "The model's configuration. Default: config.json beside it.")
    private Path config;

    @Mixin
    private Output output;

    @Override
    public Integer call() throws Exception {
        try (Checkpoint checkpoint = Checkpoint.open(file, config); Arena arena = Arena.ofShared()) {
            Layouts layouts = Layouts.of(checkpoint);
            Table layers = new Table("quantized layer", "layout", "scheme", ">shape", ">bits/weight");
            List<Object> layerRows = new ArrayList<>();
            for (String layer : layouts.layers()) {
                QuantizedMatrix m = layouts.read(layer, arena);
                String layout = layouts.layout(layer).name();
                layers.row(layer, layout, m.scheme().label(), m.n() + "x" + m.k(), String.format(Locale.ROOT, "%.3f", m.bitsPerWeight()));
                Map<String, Object> row = new LinkedHashMap<>();
                row.put("layer", layer);
                row.put("layout", layout);
                row.put("scheme", m.scheme().label());
                row.put("shape", List.of(m.n(), m.k()));
                row.put("bits_per_weight", m.bitsPerWeight());
                layerRows.add(row);
            }
            Table tensors = new Table("tensor", "type", ">shape", ">bytes");
            List<Object> tensorRows = new ArrayList<>();
            long bytes = 0;
            for (Map.Entry<String, io.lowbit.tensor.Tensor> e : checkpoint.tensors().entrySet()) {
                TensorSpec spec = TensorSpec.of(e.getValue());
                tensors.row(e.getKey(), spec.dtype(), spec.shape(), spec.bytes());
                Map<String, Object> row = new LinkedHashMap<>();
                row.put("name", e.getKey());
                row.put("dtype", spec.dtype().name());
                row.put("shape", java.util.Arrays.stream(spec.shape().dims()).boxed().toList());
                row.put("bytes", spec.bytes());
                tensorRows.add(row);
                bytes += spec.bytes();
            }
            output.table(tensors);
            if (!layouts.layers().isEmpty()) {
                output.line("");
                output.table(layers);
            }
            output.line("");
            checkpoint.metadata().forEach((key, value) -> output.line("metadata " + printable(key) + ": " + printable(value)));
            checkpoint.notes().forEach(output::line);
            output.line("%s: %s, %d tensors of %d bytes, %d quantized layers", file,
                    checkpoint.kind().name().toLowerCase(Locale.ROOT).replace('_', ' '), checkpoint.names().size(), bytes, layouts.layers().size());
            Map<String, Object> document = new LinkedHashMap<>();
            document.put("file", file.toString());
            document.put("kind", checkpoint.kind().name().toLowerCase(Locale.ROOT));
            document.put("metadata", checkpoint.metadata());
            document.put("tensors", tensorRows);
            document.put("layers", layerRows);
            output.document(document);
        }
        return 0;
    }

    /** A file's own words must not steer the terminal. */
    private static String printable(String text) {
        return text.replaceAll("[\\p{Cntrl}\\p{Cf}]", "?");
    }
}
