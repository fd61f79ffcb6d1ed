package io.lowbit.checkpoint;

import io.lowbit.quant.GgmlQuantizer;
import io.lowbit.quant.NonFinite;
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
        // A GGUF file gets Q4_0 as ggml rounds it, which loses less than the grid of the other layouts.
        boolean ggml = layout instanceof GgufLayout && GgmlQuantizer.isQ40(scheme) && options.clip() == null && options.nonFinite() == NonFinite.REJECT;
        return quantize(in, out, ggml ? LayerQuantizer.ggml(scheme) : LayerQuantizer.rounding(scheme, options), options.threads(), layout, globs, each);
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
        Map<String, LayerInfo> infos = new LinkedHashMap<>();
        List<Piece> pieces = new ArrayList<>();
        List<LayerResult> results = new ArrayList<>();
        for (LinearWeight w : chosen) {
            LayerInfo info = info(in, w, quantizer);
            infos.put(w.layer(), info);
            pieces.add(new Piece(w.layer(), w.tensor(), in.tensor(w.tensor()).data().byteSize(), layerSpecs(in, w, quantizer, layout), (c, arena) -> {
                Tensor weights = w.load(c, arena);
                QuantizedMatrix matrix = quantize(in, w, weights, quantizer, layout, arena);
                LayerResult result = new LayerResult(w.layer(), w.n(), w.k(), matrix.scheme(), matrix.bitsPerWeight(), matrix.bytes(),
                        quantizer.comparable(w) ? Sqnr.of(matrix, weights, threads) : new Sqnr(Double.NaN, Double.NaN));
                results.add(result);
                each.accept(result);
                return layout.write(w.layer(), matrix, info, arena);
            }));
        }
        for (String name : in.names()) {
            if (!taken.contains(name)) {
                Piece copy = Piece.copy(in, name);
                Tensor other = quantizer.replaced().get(name);
                pieces.add(other == null ? copy : new Piece(name, name, copy.bytes(), copy.specs(), (_, _) -> Map.of(name, other)));
            }
        }
        // One layer at a time: its quantizer uses all threads, and may build on the layer before.
        if (out.toString().endsWith(".gguf")) {
            GgufModel.write(in, out, infos, pieces, 1, _ -> { });
            return results;
        }
        List<String> skipped = UntouchedLayers.of(in, w -> !taken.contains(w.tensor()));
        Map<String, Object> quantization = layout.config(infos, skipped);
        Map<String, Object> config = new LinkedHashMap<>();
        in.config().ifPresent(c -> config.putAll(c.members()));
        Map<String, Map<String, Object>> side = layout instanceof GptqLayout ? Map.of("quantize_config.json", quantization) : Map.of();
        new ModelWriter(in, config, quantization, side, quantizer.manifest(), false).write(out, pieces, 1, _ -> { });
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
