package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonWriter;
import io.lowbit.quant.NonFiniteWeightsException;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.Sqnr;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * A float checkpoint to a quantized one, a layer at a time: memory holds one layer, not the model. What is not
 * quantized is copied as it is.
 */
public final class CheckpointQuantizer {
    private CheckpointQuantizer() {}

    /**
     * What quantizing did to a layer.
     *
     * @param bytes of codes and scales
     * @param sqnr of the matrix as it is stored, against its source
     */
    public record LayerResult(String layer, long n, long k, Scheme scheme, double bitsPerWeight, long bytes, Sqnr sqnr) {}

    /** The linear weights that {@code globs} take. */
    public static List<LinearWeight> select(Checkpoint in, Globs globs) {
        return in.linearWeights().stream().filter(globs::takes).toList();
    }

    /**
     * Quantizes. {@code out} appears whole or not at all.
     *
     * @param out a {@code .safetensors} file, replaced where it is there, or a folder, which must be new or empty
     * @param each told of every layer as it is done
     * @throws IllegalArgumentException where no layer matches, the layout cannot hold one, or weights are refused,
     *     naming the tensor
     * @throws CheckpointException where the input is not well-formed or changes meanwhile
     */
    public static List<LayerResult> quantize(
            Checkpoint in, Path out, Scheme scheme, QuantizeOptions options, Layout layout, Globs globs, Consumer<LayerResult> each) throws IOException {
        return quantize(in, out, LayerQuantizer.rounding(scheme, options), options.threads(), layout, globs, each);
    }

    /** {@link #quantize(Checkpoint, Path, Scheme, QuantizeOptions, Layout, Globs, Consumer)} with matrices that {@code quantizer} makes. */
    public static List<LayerResult> quantize(
            Checkpoint in, Path out, LayerQuantizer quantizer, int threads, Layout layout, Globs globs, Consumer<LayerResult> each) throws IOException {
        List<LinearWeight> chosen = select(in, globs).stream().filter(w -> quantizer.scheme(w) != null).toList();
        if (chosen.isEmpty()) {
            throw new IllegalArgumentException(in.path() + ": none of its " + in.linearWeights().size()
                    + " linear weights is chosen; see their names with lowbit inspect, and choose with --include");
        }
        Layouts already = Layouts.of(in);
        if (!already.layers().isEmpty()) {
            throw new IllegalArgumentException(in.path() + ": " + already.layers().size() + " layers are quantized already, among them "
                    + already.layers().iterator().next() + "; start from the float model, or dequantize this one first");
        }
        for (LinearWeight w : chosen) {
            String why = layout.refusal(info(in, w, quantizer));
            if (why != null) {
                throw new IllegalArgumentException(in.path() + ": layer " + w.layer() + " [" + w.n() + ", " + w.k() + "] in layout " + layout.name() + ": " + why);
            }
        }
        try {
            return write(in, out, quantizer, threads, layout, chosen, each);
        } catch (InternalError e) {
            return MappedFile.guard(in.path(), () -> {
                throw e;
            });
        }
    }

    private static List<LayerResult> write(Checkpoint in, Path out, LayerQuantizer quantizer, int threads, Layout layout,
            List<LinearWeight> chosen, Consumer<LayerResult> each) throws IOException {
        Set<String> taken = new HashSet<>();
        chosen.forEach(w -> taken.add(w.tensor()));
        List<String> rest = in.names().stream().filter(name -> !taken.contains(name)).toList();
        Map<String, TensorSpec> specs = new LinkedHashMap<>();
        for (LinearWeight w : chosen) {
            declare(in, specs, layerSpecs(in, w, quantizer, layout));
        }
        for (String name : rest) {
            declare(in, specs, Map.of(name, TensorSpec.of(in.tensor(name))));
        }
        Map<String, LayerInfo> infos = new LinkedHashMap<>();
        chosen.forEach(w -> infos.put(w.layer(), info(in, w, quantizer)));
        List<String> skipped = in.linearWeights().stream().filter(w -> !taken.contains(w.tensor())).map(LinearWeight::layer).toList();
        Map<String, Object> config = layout.config(infos, skipped);
        Map<String, String> metadata = new TreeMap<>(in.kind() == Checkpoint.Kind.ONNX ? Map.of() : in.metadata());
        metadata.putIfAbsent("format", "pt");
        metadata.putAll(quantizer.manifest());
        List<LayerResult> results = new ArrayList<>();
        try (ModelOutput output = ModelOutput.create(out)) {
            if (!output.isFolder()) {
                metadata.put("quantization_config", JsonWriter.write(config, JsonWriter.Style.COMPACT));
            }
            try (SafetensorsWriter writer = SafetensorsWriter.create(output.weights(), specs, metadata)) {
                for (LinearWeight w : chosen) {
                    try (Arena arena = Arena.ofShared()) {
                        Tensor weights = w.load(in, arena);
                        QuantizedMatrix matrix = quantize(in, w, weights, quantizer, layout, arena);
                        for (Map.Entry<String, Tensor> part : layout.write(w.layer(), matrix, infos.get(w.layer()), arena).entrySet()) {
                            writer.write(part.getKey(), part.getValue());
                        }
                        LayerResult result = new LayerResult(w.layer(), w.n(), w.k(), matrix.scheme(), matrix.bitsPerWeight(), matrix.bytes(),
                                Sqnr.of(matrix, weights, threads));
                        results.add(result);
                        each.accept(result);
                    }
                }
                for (String name : rest) {
                    writer.write(name, quantizer.replaced().getOrDefault(name, in.tensor(name)));
                }
                in.verifyUnchanged();
                writer.commit();
            }
            if (output.isFolder()) {
                Map<String, Object> full = new LinkedHashMap<>();
                in.config().ifPresent(c -> full.putAll(c.members()));
                full.put("quantization_config", config);
                output.config(full);
                if (in.kind() == Checkpoint.Kind.SAFETENSORS_FOLDER) {
                    output.copyCompanions(java.nio.file.Files.isDirectory(in.path()) ? in.path() : in.path().toAbsolutePath().getParent());
                }
            }
            output.commit();
        }
        return results;
    }

    static void declare(Checkpoint in, Map<String, TensorSpec> specs, Map<String, TensorSpec> more) {
        more.forEach((name, spec) -> {
            if (specs.put(name, spec) != null) {
                throw new IllegalArgumentException(in.path() + ": two tensors would be called " + name + "; --exclude one of the layers");
            }
        });
    }

    private static LayerInfo info(Checkpoint in, LinearWeight w, LayerQuantizer quantizer) {
        return new LayerInfo(quantizer.scheme(w), w.n(), w.k(), LinearWeight.loadedType(in.tensor(w.tensor()).dtype()), 1, quantizer.actOrder(w));
    }

    /** Sizes beforehand; where they depend on the weights, these are quantized once for the sizes and once for the file. */
    private static Map<String, TensorSpec> layerSpecs(Checkpoint in, LinearWeight w, LayerQuantizer quantizer, Layout layout) {
        Map<String, TensorSpec> known = layout.specs(w.layer(), info(in, w, quantizer));
        if (known != null) {
            return known;
        }
        Map<String, TensorSpec> out = new LinkedHashMap<>();
        try (Arena arena = Arena.ofShared()) {
            Tensor weights = w.load(in, arena);
            QuantizedMatrix matrix = quantize(in, w, weights, quantizer, layout, arena);
            layout.write(w.layer(), matrix, info(in, w, quantizer), arena).forEach((name, t) -> out.put(name, TensorSpec.of(t)));
        }
        return out;
    }

    private static QuantizedMatrix quantize(
            Checkpoint in, LinearWeight w, Tensor weights, LayerQuantizer quantizer, Layout layout, Arena arena) {
        try {
            return layout.fit(quantizer.quantize(w, weights, arena));
        } catch (NonFiniteWeightsException e) {
            String at = w.transposed() ? " (in the file [" + e.col() + ", " + e.row() + "])" : "";
            throw new IllegalArgumentException(in.path() + ": tensor " + CheckpointException.quote(w.tensor()) + at + ": " + e.getMessage(), e);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(in.path() + ": tensor " + CheckpointException.quote(w.tensor()) + ": " + e.getMessage(), e);
        }
    }
}
