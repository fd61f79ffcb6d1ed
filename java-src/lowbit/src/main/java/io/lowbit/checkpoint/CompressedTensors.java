package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonValue;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** compressed-tensors' {@code quantization_config}: a group of layers for each scheme that the model has. */
final class CompressedTensors {
    private CompressedTensors() {}

    /** True where a model's configuration says that it is in this layout. */
    static boolean configures(Checkpoint c) {
        return c.quantizationConfig().map(o -> o.get("quant_method") instanceof JsonValue.Text t && t.value().equals("compressed-tensors")).orElse(false);
    }

    static Map<String, Object> config(String format, Map<String, LayerInfo> layers, List<String> skipped) {
        List<Map<String, Object>> kinds = groups(layers);
        if (kinds.size() == 1) {
            kinds.getFirst().put("targets", List.of("Linear"));
        }
        Map<String, Object> groups = new LinkedHashMap<>();
        kinds.forEach(group -> groups.put("group_" + groups.size(), group));
        return whole(format, groups, skipped);
    }

    /** The whole configuration around {@code config_groups}. */
    static Map<String, Object> whole(String format, Map<String, Object> groups, List<String> skipped) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("quant_method", "compressed-tensors");
        out.put("format", format);
        out.put("quantization_status", "compressed");
        out.put("config_groups", groups);
        out.put("ignore", skipped);
        return out;
    }

    /** One group for each scheme, its layers by name. */
    static List<Map<String, Object>> groups(Map<String, LayerInfo> layers) {
        record Kind(Scheme scheme, boolean actOrder) {}
        Map<Kind, List<String>> kinds = new LinkedHashMap<>();
        layers.forEach((layer, info) -> kinds.computeIfAbsent(new Kind(info.scheme(), info.actOrder()), _ -> new ArrayList<>()).add(layer));
        List<Map<String, Object>> groups = new ArrayList<>();
        kinds.forEach((kind, names) -> {
            Map<String, Object> group = new LinkedHashMap<>();
            group.put("targets", names);
            group.put("weights", weights(kind.scheme, kind.actOrder));
            group.put("input_activations", null);
            group.put("output_activations", null);
            groups.add(group);
        });
        return groups;
    }

    private static Map<String, Object> weights(Scheme scheme, boolean actOrder) {
        Map<String, Object> out = new LinkedHashMap<>();
        switch (scheme) {
            case Scheme.Int4 s -> put(out, 4, "int", s.symmetric(), s.grouping());
            case Scheme.Fp8 s -> put(out, 8, "float", true, s.grouping());
            case Scheme.Nvfp4 _ -> {
                put(out, 4, "float", true, Grouping.group(Scheme.Nvfp4.BLOCK));
                out.put("strategy", "tensor_group");
            }
            case Scheme.Mxfp4 _ -> put(out, 4, "float", true, Grouping.group(Scheme.Mxfp4.BLOCK));
            default -> throw new IllegalArgumentException("compressed-tensors has no words for " + scheme.label());
        }
        if (actOrder) {
            out.put("actorder", "group");
        }
        out.put("dynamic", false);
        return out;
    }

    private static void put(Map<String, Object> out, int bits, String type, boolean symmetric, Grouping grouping) {
        out.put("num_bits", bits);
        out.put("type", type);
        out.put("symmetric", symmetric);
        out.put("strategy", switch (grouping) {
            case Grouping.PerGroup _ -> "group";
            case Grouping.PerBlock _ -> "block";
            case Grouping.PerChannel _, Grouping.PerTensor _ -> grouping.label();
        });
        out.put("group_size", grouping instanceof Grouping.PerGroup g ? g.size() : null);
        if (grouping instanceof Grouping.PerBlock b) {
            out.put("block_structure", List.of(b.rows(), b.cols()));
        }
    }
}
