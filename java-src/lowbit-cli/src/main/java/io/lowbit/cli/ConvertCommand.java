package io.lowbit.cli;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.CheckpointConverter;
import io.lowbit.checkpoint.CheckpointConverter.LayerResult;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.TensorSpec;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code lowbit convert}: one layout to another, every weight the same. */
@Command(name = "convert", description = "Convert a quantized checkpoint from one layout to another without requantizing. What is written of a "
        + "layer is read back and compared bit for bit first; what would change a weight is refused. A folder that was killed half-way "
        + "is gone on with by the same command.")
final class ConvertCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "IN", description = "A quantized .safetensors or .gguf file, or a folder.")
    private Path in;

    @Parameters(index = "1", paramLabel = "OUT", description = "A .safetensors file, a .gguf file, or a new folder.")
    private Path out;

    @Option(names = "--layout", paramLabel = "L", required = true,
            description = "bitsandbytes, compressed-tensors, fp8, gguf, gptq (version 1 where symmetric, else 2), gptq_v1, gptq_v2, awq, awq_gemv, modelopt, gpt-oss.")
    private String layout;

    @Option(names = "--plain-scales", description = "bitsandbytes: nested scales become plain ones.")
    private boolean plainScales;

    @Mixin
    private ReadOption read;

    @Mixin
    private ThreadsOption threads;

    @Mixin
    private Output output;

    @Override
    public Integer call() throws Exception {
        List<LayerResult> results;
        long start = System.nanoTime();
        long bytes = 0;
        try (Checkpoint checkpoint = read.open(in)) {
            Layouts layouts = Layouts.of(checkpoint);
            for (Map.Entry<String, io.lowbit.tensor.Tensor> e : checkpoint.tensors().entrySet()) {
                bytes += TensorSpec.of(e.getValue()).bytes();
            }
            layouts.remarks().forEach(output::note);
            long steps = checkpoint.names().size() - layouts.partNames().size() + layouts.layers().size();
            try (Progress progress = output.progress("convert", steps)) {
                results = CheckpointConverter.convert(checkpoint, out, new CheckpointConverter.Options(layout, plainScales, threads.count()),
                        name -> progress.step(1, name));
            }
        }
        double seconds = (System.nanoTime() - start) * 1e-9;
        Table table = new Table("layer", ">shape", "from", "scheme", "to", "scheme");
        List<Object> rows = new ArrayList<>();
        for (LayerResult r : results) {
            table.row(r.layer(), r.before().n() + "x" + r.before().k(), r.from(), r.before().scheme().label(), layout, r.after().scheme().label());
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("layer", r.layer());
            row.put("shape", List.of(r.before().n(), r.before().k()));
            row.put("from", r.from());
            row.put("scheme_before", r.before().scheme().label());
            row.put("scheme_after", r.after().scheme().label());
            rows.add(row);
        }
        output.table(table);
        output.line("%s: %d layers in layout %s, each read back and equal bit for bit; %d bytes read in %.1f s", out, results.size(), layout, bytes, seconds);
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("out", out.toString());
        document.put("layout", layout);
        document.put("bytes_read", bytes);
        document.put("seconds", seconds);
        document.put("layers", rows);
        output.document(document);
        return 0;
    }
}
