package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonObject;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** The files beside a model in which older tools say how it is quantized. */
final class SideConfig {
    /** AutoGPTQ's, AutoAWQ's, ModelOpt's. */
    static final List<String> NAMES = List.of("quantize_config.json", "quant_config.json", "hf_quant_config.json");

    private SideConfig() {}

    static Optional<JsonObject> find(Path model) {
        Path folder = Files.isDirectory(model) ? model : model.toAbsolutePath().getParent();
        try {
            for (String name : NAMES) {
                JsonObject config = folder == null ? null : SafetensorsFolder.config(folder.resolve(name));
                if (config != null) {
                    return Optional.of(name.startsWith("hf_") && config.has("quantization") ? config.object("quantization") : config);
                }
            }
            return Optional.empty();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
