package io.lowbit.cli;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.LinearWeight;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.checkpoint.SafetensorsWriter;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code lowbit matmul}: y = x·Wᵀ for one layer of a checkpoint. */
@Command(name = "matmul", description = "y = x*W^T (+ the layer's bias, where it has one) for one layer of a checkpoint.")
final class MatmulCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "WEIGHTS", description = "A checkpoint, quantized or not.")
    private Path weights;

    @Parameters(index = "1", paramLabel = "LAYER", description = "The layer, for example model.layers.0.mlp.up_proj.")
    private String layer;

    @Parameters(index = "2", paramLabel = "X", description = "A safetensors file with one 2-D float tensor [M, K].")
    private Path x;

    @Parameters(index = "3", paramLabel = "Y", description = "The safetensors file to write, with the tensor y [M, N].")
    private Path y;

    @Option(names = "--out-dtype", paramLabel = "f32|f16|bf16", description = "Type of y. Default: that of X.")
    private DequantizeCommand.Type outType;

    @Mixin
    private ReadOption read;

    @Mixin
    private BackendOption backend;

    @Mixin
    private Output output;

    @Override
    public Integer call() throws Exception {
        try (Checkpoint checkpoint = read.open(weights); SafetensorsFile file = SafetensorsFile.open(x); Arena arena = Arena.ofShared()) {
            QuantizedMatrix matrix = matrix(checkpoint, arena);
            Tensor input = input(file, matrix.k());
            Tensor bias = checkpoint.has(layer + ".bias") ? checkpoint.tensor(layer + ".bias") : null;
            DType type = outType == null ? input.dtype() : DType.valueOf(outType.name().toUpperCase(Locale.ROOT));
            Tensor result = Tensor.allocate(arena, type, input.dim(0), matrix.n());
            try (Backend opened = backend.open(output); Linear linear = opened.load(matrix, bias)) {
                linear.forward(input, result);
            }
            SafetensorsWriter.write(y, Map.of("y", result), Map.of());
            output.line("%s: y %s [%d, %d] = x·Wᵀ%s, %s", y, type, result.dim(0), result.dim(1), bias == null ? "" : " + bias", matrix);
            Map<String, Object> document = new LinkedHashMap<>();
            document.put("out", y.toString());
            document.put("dtype", type.name());
            document.put("shape", List.of(result.dim(0), result.dim(1)));
            document.put("scheme", matrix.scheme().label());
            document.put("bias", bias != null);
            output.document(document);
        }
        return 0;
    }

    private QuantizedMatrix matrix(Checkpoint checkpoint, Arena arena) {
        Layouts layouts = Layouts.of(checkpoint);
        if (layouts.has(layer)) {
            return layouts.read(layer, arena);
        }
        List<LinearWeight> plain = checkpoint.linearWeights();
        return plain.stream().filter(w -> w.layer().equals(layer)).findFirst().map(w -> QuantizedMatrix.dense(w.load(checkpoint, arena)))
                .orElseThrow(() -> new CliException(weights + ": no linear layer '" + layer + "'; it has "
                        + (layouts.layers().size() + plain.size()) + ", see their names with lowbit inspect"));
    }

    private Tensor input(SafetensorsFile file, long k) {
        List<Map.Entry<String, Tensor>> floats = file.tensors().entrySet().stream()
                .filter(e -> e.getValue().shape().rank() == 2 && e.getValue().dtype().isFloat()).toList();
        if (floats.size() != 1) {
            throw new CliException(x + ": holds " + floats.size() + " 2-D float tensors; give a file with exactly one, [M, " + k + "]");
        }
        Tensor t = floats.getFirst().getValue();
        if (t.dim(1) != k || t.dtype() == DType.F64) {
            throw new CliException(x + ": tensor " + floats.getFirst().getKey() + " is " + t.dtype() + " " + t.shape() + "; layer " + layer
                    + " takes F32, F16 or BF16 [M, " + k + "]");
        }
        return t;
    }
}
