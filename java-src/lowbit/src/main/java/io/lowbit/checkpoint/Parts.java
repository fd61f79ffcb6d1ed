package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonWriter;
import io.lowbit.tensor.Tensor;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The tensors of a layer that is about to be written, as a checkpoint of their own with the configuration they will have. */
final class Parts {
    private Parts() {}

    static Checkpoint of(Path path, String layer, Map<String, Tensor> tensors, Layout layout, LayerInfo info) {
        Map<String, GgufType> types = new LinkedHashMap<>();
        if (layout instanceof GgufLayout) {
            tensors.keySet().forEach(name -> types.put(name, GgufType.of(info.scheme())));
        }
        Map<String, Object> quantization = layout.config(Map.of(layer, info), List.of());
        JsonObject config = JsonReader.parseObject(JsonWriter.write(Map.of("quantization_config", quantization), JsonWriter.Style.COMPACT));
        return Checkpoint.ofParts(path, tensors, types, config);
    }
}
