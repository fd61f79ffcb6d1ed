package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/** The layouts that Lowbit knows, and the quantized layers of a checkpoint in whichever they are. */
public final class Layouts {
    private static final List<Layout> ALL = List.of(
            new BitsAndBytesLayout(), new PackQuantizedLayout(), new PackedFp4Layout(), new Fp8Layout(false), new GgufLayout(),
            new GptqLayout("gptq"), new AwqLayout(), new Fp8Layout(true), new ModelOptLayout(), new GptOssLayout(), new BnbInt8Layout());

    /** Only written: what they write, the first of their kind reads. */
    private static final List<Layout> VARIANTS = List.of(new GptqLayout("gptq_v1"), new GptqLayout("gptq_v2"), new AwqLayout("awq_gemv"));

    private final Checkpoint checkpoint;
    private final Map<String, Layout> byLayer = new LinkedHashMap<>();
    private final Map<String, List<String>> parts = new LinkedHashMap<>();

    private Layouts(Checkpoint checkpoint) {
        this.checkpoint = checkpoint;
    }

    /** The layout for a scheme where none is named. */
    public static Layout defaultFor(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Bnb4 _ -> ALL.get(0);
            case Scheme.Int4 _ -> ALL.get(1);
            case Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> ALL.get(2);
            case Scheme.Fp8 _, Scheme.Mxfp8 _ -> ALL.get(3);
            case Scheme.Ggml _ -> named("gguf", scheme);
            case Scheme.Int8 _ -> throw new IllegalArgumentException("scheme " + scheme.label() + " is read, not quantized to");
            case Scheme.Dense _ -> throw new IllegalArgumentException("scheme " + scheme.label() + " is not quantized: it has no layout");
        };
    }

    /** The layout for a model whose layers differ in their schemes. */
    public static Layout mixed() {
        return new MixedLayout();
    }

    /** Names that {@code --layout} takes. */
    public static List<String> names() {
        return Stream.concat(ALL.stream(), VARIANTS.stream()).map(Layout::name).distinct().toList();
    }

    /** A layout by name, whatever the scheme: the name may stand for several. */
    static Layout anyNamed(String name) {
        return Stream.concat(ALL.stream(), VARIANTS.stream()).filter(l -> l.name().equals(name)).findFirst().orElseThrow(
                () -> new IllegalArgumentException("layout " + name + " is not known; take one of " + String.join(", ", names())));
    }

    /**
     * A layout by name, for a scheme.
     *
     * @throws IllegalArgumentException naming what there is
     */
    public static Layout named(String name, Scheme scheme) {
        List<Layout> called = Stream.concat(ALL.stream(), VARIANTS.stream()).filter(l -> l.name().equals(name)).toList();
        if (called.isEmpty()) {
            return anyNamed(name); // throws
        }
        // a shape that suits every layout, so that only the scheme can be what is refused
        LayerInfo info = new LayerInfo(scheme, 4096, 4096, DType.BF16);
        return called.stream().filter(l -> l.refusal(info) == null).findFirst().orElseThrow(() -> new IllegalArgumentException(
                "layout " + name + " cannot hold " + scheme.label() + ": " + called.getFirst().refusal(info)));
    }

    /**
     * Finds the quantized layers.
     *
     * @throws CheckpointException where two layouts claim one layer
     */
    public static Layouts of(Checkpoint checkpoint) {
        Layouts out = new Layouts(checkpoint);
        for (Layout layout : ALL) {
            layout.find(checkpoint).forEach((layer, names) -> {
                if (out.byLayer.put(layer, layout) != null) {
                    throw Layout.wrong(checkpoint, layer, "has the parts of two layouts");
                }
                out.parts.put(layer, names);
            });
        }
        return out;
    }

    /** Names of the quantized layers. */
    public Set<String> layers() {
        return byLayer.keySet();
    }

    public boolean has(String layer) {
        return byLayer.containsKey(layer);
    }

    /** A quantized layer without its data. */
    public LayerInfo describe(String layer) {
        try {
            return byLayer.get(layer).describe(checkpoint, layer);
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw Layout.wrong(checkpoint, layer, e.getMessage());
        }
    }

    /** Bits that the file takes for each weight of a layer, all of its parts together. */
    public double storedBits(String layer) {
        LayerInfo info = describe(layer);
        long bytes = parts.get(layer).stream().mapToLong(p -> checkpoint.tensor(p).data().byteSize()).sum();
        return 8.0 * bytes / ((double) info.n() * info.k());
    }

    /** What a user should know of how layers are stored, one line each, with the layer's name; see {@link Layout#remarks}. */
    public List<String> remarks() {
        List<String> out = new java.util.ArrayList<>();
        byLayer.forEach((layer, layout) -> layout.remarks(checkpoint, layer).forEach(r -> out.add("layer " + layer + " " + r)));
        return out;
    }

    /** Names of the tensors that a layer consists of. */
    List<String> parts(String layer) {
        return parts.get(layer);
    }

    /** How a layer is stored; null where it is not quantized. */
    public Layout layout(String layer) {
        return byLayer.get(layer);
    }

    /** Names of all tensors that belong to quantized layers. */
    public Set<String> partNames() {
        Set<String> out = new TreeSet<>();
        parts.values().forEach(out::addAll);
        return out;
    }

    /**
     * A quantized layer.
     *
     * @throws CheckpointException where there is none of this name, or its parts do not fit together
     */
    public QuantizedMatrix read(String layer, Arena arena) {
        Layout layout = byLayer.get(layer);
        if (layout == null) {
            throw new CheckpointException(Fault.MISSING, checkpoint.path().toString(), "no quantized layer " + CheckpointException.quote(layer),
                    byLayer.isEmpty() ? "no layer of it is quantized in a layout that Lowbit reads" : Names.cure(layer, byLayer.keySet()));
        }
        try {
            return layout.read(checkpoint, layer, arena);
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw Layout.wrong(checkpoint, layer, e.getMessage());
        }
    }
}
