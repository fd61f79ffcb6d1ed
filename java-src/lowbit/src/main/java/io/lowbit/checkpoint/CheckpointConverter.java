package io.lowbit.checkpoint;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.SameValues;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/**
 * One layout to another without requantizing. What is about to be written of a layer is read back and must stand for the
 * same weights bit for bit, else nothing is kept; what cannot is refused beforehand or at that layer.
 */
public final class CheckpointConverter {
    /**
     * What a conversion is to make.
     *
     * @param layout of the result, by name
     * @param plainScales bitsandbytes: nested scales become plain ones
     * @param threads that work on layers side by side
     */
    public record Options(String layout, boolean plainScales, int threads) {}

    /** One layer: how it was stored, and how it is stored now. */
    public record LayerResult(String layer, String from, LayerInfo before, LayerInfo after) {}

    private CheckpointConverter() {}

    /**
     * Converts.
     *
     * @param out a {@code .safetensors} file, a {@code .gguf} file for the layout gguf, or a folder, which must be new or empty
     * @param done told of every layer and every other tensor as it is written
     * @throws LossyException where weights would change
     * @throws CheckpointException where the input is not well-formed or changes meanwhile
     */
    public static List<LayerResult> convert(Checkpoint in, Path out, Options options, Consumer<String> done) throws IOException {
        Layouts layouts = Layouts.of(in);
        if (layouts.layers().isEmpty()) {
            throw new IllegalArgumentException(in.path() + ": no layer is quantized in a layout that Lowbit reads; see lowbit inspect, or lowbit quantize it");
        }
        List<LayerResult> results = new ArrayList<>();
        Map<String, LayerInfo> infos = new LinkedHashMap<>();
        Map<String, Layout> targets = new LinkedHashMap<>();
        for (String layer : layouts.layers()) {
            LayerInfo before = layouts.describe(layer);
            LayerInfo after = plan(layer, before, options, targets);
            infos.put(layer, after);
            results.add(new LayerResult(layer, layouts.layout(layer).name(), before, after));
        }
        write(in, out, layouts, infos, targets, options, done);
        return results;
    }

    /** Judges a layer by its shape and scheme alone. */
    private static LayerInfo plan(String layer, LayerInfo before, Options options, Map<String, Layout> targets) {
        Layout target;
        LayerInfo after;
        try {
            // The name may stand for several classes: which one depends on the scheme.
            Layout any = Layouts.anyNamed(options.layout());
            after = Lossless.wanted(before, any, options.plainScales());
            target = Layouts.named(options.layout(), after.scheme());
        } catch (IllegalArgumentException e) {
            throw new LossyException(layer, "it is " + before.scheme().label() + "; " + e.getMessage(), cure(options.layout()));
        }
        String why = target.refusal(after);
        if (why != null) {
            throw new LossyException(layer, "it is " + before.scheme().label() + " [" + before.n() + ", " + before.k() + "], layout " + target.name() + ": " + why,
                    cure(options.layout()));
        }
        targets.put(layer, target);
        return after;
    }

    private static String cure(String layout) {
        String scheme = switch (layout) {
            case "bitsandbytes" -> "nf4";
            case "awq", "awq_gemv" -> "int4 --asymmetric";
            case "gptq", "gptq_v1", "gptq_v2" -> "int4";
            case "gguf" -> "\"int4 sym g32\"";
            case "modelopt" -> "nvfp4";
            case "gpt-oss" -> "mxfp4";
            case "fp8" -> "fp8-e4m3";
            default -> "int4";
        };
        return "to do it knowingly: lowbit dequantize IN F --dtype f32, then lowbit quantize F OUT --scheme " + scheme + " --layout " + layout;
    }

    private static void write(Checkpoint in, Path out, Layouts layouts, Map<String, LayerInfo> infos, Map<String, Layout> targets, Options options,
            Consumer<String> done) throws IOException {
        List<Piece> pieces = new ArrayList<>();
        for (String layer : layouts.layers()) {
            pieces.add(piece(in, layouts, layer, infos.get(layer), targets.get(layer)));
        }
        Set<String> parts = layouts.partNames();
        in.names().stream().filter(name -> !parts.contains(name) || kept(name)).forEach(name -> pieces.add(Piece.copy(in, name)));
        List<String> skipped = UntouchedLayers.of(in, w -> !layouts.has(w.layer()));
        Layout first = targets.values().iterator().next();
        for (Map.Entry<String, Layout> e : targets.entrySet()) {
            if (e.getValue().getClass() != first.getClass()) {
                throw new IllegalArgumentException(in.path() + ": layers " + targets.keySet().iterator().next() + " and " + e.getKey() + " are "
                        + infos.values().iterator().next().scheme().label() + " and " + infos.get(e.getKey()).scheme().label()
                        + ", which one configuration of layout " + first.name() + " does not tell; convert them apart");
            }
        }
        if (out.toString().endsWith(".gguf")) {
            GgufModel.write(in, out, infos, pieces, options.threads(), done);
            return;
        }
        if (first instanceof GgufLayout) {
            throw new IllegalArgumentException(out + ": layout gguf is one file; give it the ending .gguf");
        }
        Map<String, Object> quantization = first.config(infos, skipped);
        Map<String, Map<String, Object>> side = first instanceof GptqLayout ? Map.of("quantize_config.json", quantization) : Map.of();
        Map<String, Object> config = new LinkedHashMap<>();
        in.config().ifPresent(c -> config.putAll(c.members()));
        new ModelWriter(in, config, quantization, side, Map.of(), true).write(out, pieces, options.threads(), done);
    }

    /** Scales of activations belong to a layer but mean the same in every layout that has them. */
    private static boolean kept(String name) {
        return name.endsWith(".input_scale");
    }

    private static Piece piece(Checkpoint in, Layouts layouts, String layer, LayerInfo after, Layout target) {
        Layout source = layouts.layout(layer);
        long bytes = layouts.parts(layer).stream().mapToLong(p -> in.tensor(p).data().byteSize()).sum();
        Map<String, TensorSpec> specs = target.specs(layer, after);
        if (specs == null) {
            // bitsandbytes with nested scales: the state spells out the offset. Its parts are views, so this costs little.
            Map<String, TensorSpec> known = new LinkedHashMap<>();
            try (Arena arena = Arena.ofShared()) {
                target.write(layer, source.read(in, layer, arena), after, arena).forEach((name, t) -> known.put(name, TensorSpec.of(t)));
            }
            specs = known;
        }
        return new Piece(layer, layouts.parts(layer).getFirst(), bytes, specs, (c, arena) -> proved(c, layer, source, target, after, arena));
    }

    /** The layer's tensors in the target layout, after they were read back and compared. */
    private static Map<String, Tensor> proved(Checkpoint c, String layer, Layout source, Layout target, LayerInfo after, Arena arena) {
        QuantizedMatrix before = source.read(c, layer, arena);
        Map<String, Tensor> out = target.write(layer, Lossless.to(layer, before, after, target, arena), after, arena);
        QuantizedMatrix again = target.read(Parts.of(c.path(), layer, out, target, after), layer, arena);
        long at = SameValues.mismatch(before, again);
        if (at >= 0) {
            long row = at / before.k();
            long col = at % before.k();
            throw new LossyException(layer, "weight [" + row + ", " + col + "] would become " + again.value(row, col) + " instead of " + before.value(row, col),
                    cure(target.name()));
        }
        return out;
    }
}
