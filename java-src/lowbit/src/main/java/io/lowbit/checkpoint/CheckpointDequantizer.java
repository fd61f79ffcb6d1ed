package io.lowbit.checkpoint;

import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;

/** A quantized checkpoint back to plain tensors, each layer's as {@code LAYER.weight} {@code [N, K]}; the rest is copied. */
public final class CheckpointDequantizer {
    private CheckpointDequantizer() {}

    /**
     * Dequantizes. {@code out} appears whole or not at all.
     *
     * @param dtype F32, F16 or BF16
     * @param each told of every layer as it is done
     * @throws IllegalArgumentException where no layer is quantized
     */
    public static void dequantize(Checkpoint in, Path out, DType dtype, int threads, Consumer<QuantizedMatrix> each) throws IOException {
        Layouts layouts = Layouts.of(in);
        if (layouts.layers().isEmpty()) {
            throw new IllegalArgumentException(in.path() + ": no layer is quantized in a layout that Lowbit reads; see lowbit inspect");
        }
        Set<String> parts = layouts.partNames();
        List<String> rest = in.names().stream().filter(name -> !parts.contains(name)).toList();
        Map<String, TensorSpec> specs = new LinkedHashMap<>();
        for (String layer : layouts.layers()) {
            try (Arena arena = Arena.ofShared()) {
                QuantizedMatrix m = layouts.read(layer, arena);
                CheckpointQuantizer.declare(in, specs, Map.of(layer + ".weight", TensorSpec.of(dtype, m.n(), m.k())));
            }
        }
        rest.forEach(name -> CheckpointQuantizer.declare(in, specs, Map.of(name, TensorSpec.of(in.tensor(name)))));
        Map<String, String> metadata = new TreeMap<>(in.metadata());
        metadata.remove("quantization_config");
        try (ModelOutput output = ModelOutput.create(out)) {
            try (SafetensorsWriter writer = SafetensorsWriter.create(output.weights(), specs, metadata)) {
                for (String layer : layouts.layers()) {
                    try (Arena arena = Arena.ofShared()) {
                        QuantizedMatrix m = layouts.read(layer, arena);
                        writer.write(layer + ".weight", Dequantizer.dequantize(m, dtype, threads, arena));
                        each.accept(m);
                    }
                }
                for (String name : rest) {
                    writer.write(name, in.tensor(name));
                }
                in.verifyUnchanged();
                writer.commit();
            } catch (InternalError e) {
                MappedFile.guard(in.path(), () -> {
                    throw e;
                });
            }
            if (output.isFolder()) {
                Map<String, Object> config = new LinkedHashMap<>();
                in.config().ifPresent(c -> config.putAll(c.members()));
                config.remove("quantization_config");
                output.config(config);
                if (Files.isDirectory(in.path())) {
                    output.copyCompanions(in.path());
                }
            }
            output.commit();
        }
    }
}
