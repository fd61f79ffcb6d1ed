package io.lowbit.checkpoint;

import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/** A quantized checkpoint back to plain tensors, each layer's as {@code LAYER.weight} {@code [N, K]}; the rest is copied. */
public final class CheckpointDequantizer {
    private CheckpointDequantizer() {}

    /**
     * Dequantizes. {@code out} appears whole or not at all.
     *
     * @param dtype F32, F16 or BF16
     * @param threads that work on layers side by side
     * @param each told of every layer as it is done, by any of the threads
     * @throws IllegalArgumentException where no layer is quantized
     */
    public static void dequantize(Checkpoint in, Path out, DType dtype, int threads, Consumer<QuantizedMatrix> each) throws IOException {
        Layouts layouts = Layouts.of(in);
        if (layouts.layers().isEmpty()) {
            throw new IllegalArgumentException(in.path() + ": no layer is quantized in a layout that Lowbit reads; see lowbit inspect");
        }
        Set<String> parts = layouts.partNames();
        List<Piece> pieces = new ArrayList<>();
        for (String layer : layouts.layers()) {
            LayerInfo info = layouts.describe(layer);
            pieces.add(new Piece(layer, layouts.parts(layer).getFirst(), dtype.byteSize(Math.multiplyExact(info.n(), info.k())),
                    Map.of(layer + ".weight", new TensorSpec(dtype, info.stacked(info.k()))), (c, arena) -> {
                        QuantizedMatrix m = layouts.layout(layer).read(c, layer, arena);
                        Tensor floats = Dequantizer.dequantize(m, dtype, 1, arena);
                        each.accept(m);
                        return Map.of(layer + ".weight", floats.reshape(info.stacked(info.k()).dims()));
                    }));
        }
        in.names().stream().filter(name -> !parts.contains(name)).forEach(name -> pieces.add(Piece.copy(in, name)));
        Map<String, Object> config = new LinkedHashMap<>();
        in.config().ifPresent(c -> config.putAll(c.members()));
        new ModelWriter(in, config, null, Map.of(), Map.of(), true).write(out, pieces, threads, _ -> { });
    }
}
