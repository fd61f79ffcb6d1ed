package io.lowbit.cli;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.CheckpointDequantizer;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.tensor.DType;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code lowbit dequantize}: a quantized checkpoint back to plain tensors. */
@Command(name = "dequantize", description = "Turn a quantized checkpoint back into plain tensors, each layer's as LAYER.weight [N, K].")
final class DequantizeCommand implements Callable<Integer> {
    enum Type {
        f32,
        f16,
        bf16
    }

    @Parameters(index = "0", paramLabel = "IN", description = "A quantized .safetensors file or folder.")
    private Path in;

    @Parameters(index = "1", paramLabel = "OUT", description = "A .safetensors file, or a new folder.")
    private Path out;

    @Option(names = "--dtype", paramLabel = "f32|f16|bf16", required = true, description = "Type of the weights written: ${COMPLETION-CANDIDATES}.")
    private Type dtype;

    @Mixin
    private ReadOption read;

    @Mixin
    private ThreadsOption threads;

    @Mixin
    private Output output;

    @Override
    public Integer call() throws Exception {
        DType type = DType.valueOf(dtype.name().toUpperCase(Locale.ROOT));
        int layers;
        try (Checkpoint checkpoint = read.open(in)) {
            layers = Layouts.of(checkpoint).layers().size();
            try (Progress progress = output.progress("dequantize", layers)) {
                CheckpointDequantizer.dequantize(checkpoint, out, type, threads.count(), _ -> progress.step());
            }
        }
        output.line("%s: %d layers as %s", out, layers, dtype);
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("out", out.toString());
        document.put("layers", layers);
        document.put("dtype", dtype.name());
        output.document(document);
        return 0;
    }
}
