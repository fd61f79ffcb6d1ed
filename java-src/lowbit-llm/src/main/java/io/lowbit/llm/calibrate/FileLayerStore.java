package io.lowbit.llm.calibrate;

import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.checkpoint.SafetensorsWriter;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * Finished decoder layers in a folder, one safetensors file each: parts of the canonical layout as {@code LAYER/codes},
 * {@code /scales}, {@code /zeros}, {@code /groups}, AWQ's {@code /divisors} and {@code /outputs}, and tensors to replace as {@code replace/NAME}. A file
 * names the run it belongs to by its manifest; another run's is refused.
 */
public final class FileLayerStore implements LayerStore {
    private static final String REPORT = "report ";
    private static final String REPLACE = "replace/";
    private static final String RUNNING = "running ";

    private final Path folder;
    private final CalibrationOptions options;
    private final String run;

    /** @param folder made where it is not there */
    public FileLayerStore(Path folder, CalibrationOptions options, CalibrationText text) throws IOException {
        this.folder = Files.createDirectories(folder);
        this.options = options;
        this.run = Manifest.of(options, text).get(Manifest.KEY);
    }

    private Path file(int index) {
        return folder.resolve(String.format("layer-%05d.safetensors", index));
    }

    @Override
    public Layer read(int index, Arena arena) throws IOException {
        Path path = file(index);
        if (!Files.exists(path)) {
            return null;
        }
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            if (!run.equals(file.metadata().get(Manifest.KEY))) {
                throw new IllegalArgumentException(path + ": belongs to a calibration with other options or text; delete the folder to begin anew, or "
                        + "give the options it was begun with");
            }
            Layer layer = Layer.empty();
            Map<String, Tensor> parts = new LinkedHashMap<>();
            file.tensors().forEach((name, t) -> parts.put(name, copy(t, arena)));
            for (String name : parts.keySet()) {
                if (name.startsWith(REPLACE)) {
                    layer.replaced().put(name.substring(REPLACE.length()), parts.get(name));
                } else if (name.endsWith("/codes")) {
                    String of = name.substring(0, name.length() - "/codes".length());
                    layer.put(of, matrix(of, parts));
                    floats(parts.get(of + "/divisors"), d -> layer.divisors().put(of, d));
                    floats(parts.get(of + "/outputs"), d -> layer.outputs().put(of, d));
                    if (file.metadata().containsKey(RUNNING + of)) {
                        layer.running().add(of);
                    }
                }
            }
            file.metadata().forEach((key, value) -> {
                if (key.startsWith(REPORT)) {
                    String[] fields = value.split("\t", 3);
                    layer.reports().add(new LayerReport(fields[0], Long.parseLong(fields[1]), fields[2]));
                }
            });
            return layer;
        }
    }

    private QuantizedMatrix matrix(String layer, Map<String, Tensor> parts) {
        Scheme scheme = options.recipe().of(layer);
        Tensor codes = parts.get(layer + "/codes");
        Tensor shape = parts.get(layer + "/shape");
        return Parts.read(scheme, shape.getInt(0), shape.getInt(1), codes, suffix -> parts.get(layer + suffix));
    }

    private static void floats(Tensor t, Consumer<float[]> use) {
        if (t != null) {
            use.accept(t.toFloats());
        }
    }

    private static Tensor copy(Tensor t, Arena arena) {
        Tensor copy = Tensor.allocate(arena, t.dtype(), t.shape().dims());
        copy.data().copyFrom(t.data());
        return copy;
    }

    @Override
    public void write(int index, Layer layer) throws IOException {
        Map<String, Tensor> parts = new LinkedHashMap<>();
        Map<String, String> metadata = new TreeMap<>(Map.of(Manifest.KEY, run));
        try (Arena arena = Arena.ofConfined()) {
            layer.matrices().forEach((name, m) -> Parts.write(m, arena).forEach((suffix, t) -> parts.put(name + suffix, t)));
            layer.divisors().forEach((name, d) -> parts.put(name + "/divisors", Tensor.ofFloats(arena, d, d.length)));
            layer.outputs().forEach((name, d) -> parts.put(name + "/outputs", Tensor.ofFloats(arena, d, d.length)));
            layer.running().forEach(name -> metadata.put(RUNNING + name, ""));
            layer.replaced().forEach((name, t) -> parts.put(REPLACE + name, t));
            int i = 0;
            for (LayerReport r : layer.reports()) {
                metadata.put(String.format("%s%05d", REPORT, i++), r.layer() + "\t" + r.rows() + "\t" + r.note());
            }
            SafetensorsWriter.write(file(index), parts, metadata);
        }
    }

    /** Removes the folder: the run is over. */
    public void delete() throws IOException {
        for (int i = 0; Files.deleteIfExists(file(i)); i++) {
            // one file after another
        }
        Files.deleteIfExists(folder);
    }
}
