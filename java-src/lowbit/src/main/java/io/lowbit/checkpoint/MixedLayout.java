package io.lowbit.checkpoint;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * compressed-tensors with a scheme of its own for each layer, each packed in its scheme's format
 * ({@code mixed-precision}). Only written: each layer is read by the layout of its format.
 */
final class MixedLayout implements Layout {
    private static final String NAME = "compressed-tensors";

    private static Layout of(LayerInfo info) {
        return Layouts.named(NAME, info.scheme());
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public Map<String, List<String>> find(Checkpoint checkpoint) {
        return Map.of();
    }

    @Override
    public QuantizedMatrix read(Checkpoint checkpoint, String layer, Arena arena) {
        throw Layout.wrong(checkpoint, layer, "is in no format of its own");
    }

    @Override
    public String refusal(LayerInfo info) {
        return of(info).refusal(info);
    }

    @Override
    public QuantizedMatrix fit(QuantizedMatrix matrix) {
        return Layouts.named(NAME, matrix.scheme()).fit(matrix);
    }

    @Override
    public Map<String, TensorSpec> specs(String layer, LayerInfo info) {
        return of(info).specs(layer, info);
    }

    @Override
    public Map<String, Tensor> write(String layer, QuantizedMatrix matrix, LayerInfo info, Arena arena) {
        return of(info).write(layer, matrix, info, arena);
    }

    /** Each layout tells of its own layers; the groups of all are numbered anew and carry their format. */
    @Override
    public Map<String, Object> config(Map<String, LayerInfo> layers, List<String> skipped) {
        Map<Layout, Map<String, LayerInfo>> byLayout = new LinkedHashMap<>();
        layers.forEach((layer, info) -> byLayout.computeIfAbsent(of(info), _ -> new LinkedHashMap<>()).put(layer, info));
        if (byLayout.size() == 1) {
            return byLayout.keySet().iterator().next().config(layers, skipped);
        }
        Map<String, Object> groups = new LinkedHashMap<>();
        byLayout.forEach((layout, own) -> CompressedTensors.groups(own).forEach(group -> {
            group.put("format", layout.config(own, skipped).get("format"));
            groups.put("group_" + groups.size(), group);
        }));
        return CompressedTensors.whole("mixed-precision", groups, skipped);
    }
}
