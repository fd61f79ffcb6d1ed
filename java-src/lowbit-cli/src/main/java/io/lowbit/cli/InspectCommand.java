package io.lowbit.cli;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.GgufType;
import io.lowbit.checkpoint.LayerInfo;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.TensorSpec;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code lowbit inspect}: what a checkpoint holds. */
@Command(name = "inspect", description = "Tensors, layouts, schemes, shapes, bits per weight and metadata of a checkpoint.")
final class InspectCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "FILE", description = "A .safetensors, .gguf or .onnx file, or a folder.")
    private Path file;

    @Mixin
    private ReadOption read;

    @Mixin
    private Output output;

    @Override
    public Integer call() throws Exception {
        try (Checkpoint checkpoint = read.open(file)) {
            Layouts layouts = Layouts.of(checkpoint);
            Table layers = new Table("quantized layer", "layout", "scheme", ">shape", ">bits/weight");
            List<Object> layerRows = new ArrayList<>();
            for (String layer : layouts.layers()) {
                LayerInfo m = layouts.describe(layer);
                String layout = layouts.layout(layer).name();
                String scheme = m.scheme().label() + (m.actOrder() ? " act-order" : "");
                double bits = layouts.storedBits(layer);
                List<String> remarks = layouts.layout(layer).remarks(checkpoint, layer);
                layers.row(layer, layout, scheme, (m.experts() == 1 ? "" : m.experts() + "x") + m.n() / m.experts() + "x" + m.k(), String.format(Locale.ROOT, "%.3f", bits));
                Map<String, Object> row = new LinkedHashMap<>();
                row.put("layer", layer);
                row.put("layout", layout);
                row.put("scheme", m.scheme().label());
                row.put("act_order", m.actOrder());
                row.put("experts", m.experts());
                row.put("shape", List.of(m.n(), m.k()));
                row.put("bits_per_weight", bits);
                row.put("remarks", remarks);
                layerRows.add(row);
            }
            Table tensors = new Table("tensor", "type", ">shape", ">bytes");
            List<Object> tensorRows = new ArrayList<>();
            long bytes = 0;
            for (Map.Entry<String, io.lowbit.tensor.Tensor> e : checkpoint.tensors().entrySet()) {
                TensorSpec spec = TensorSpec.of(e.getValue());
                GgufType type = checkpoint.gguf().map(g -> g.types().get(e.getKey())).orElse(null);
                tensors.row(e.getKey(), type == null ? spec.dtype() : type.label(), spec.shape(), spec.bytes());
                Map<String, Object> row = new LinkedHashMap<>();
                row.put("name", e.getKey());
                row.put("dtype", spec.dtype().name());
                if (type != null) {
                    row.put("gguf_type", type.label());
                }
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
            layouts.remarks().forEach(output::line);
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
