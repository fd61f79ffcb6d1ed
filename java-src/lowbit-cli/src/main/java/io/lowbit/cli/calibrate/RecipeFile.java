package io.lowbit.cli.calibrate;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cli.CliException;
import io.lowbit.cli.SchemeNames;
import io.lowbit.llm.calibrate.Recipe;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** A recipe as JSON: {@code {"layers": {"model.layers.0.mlp.up_proj": "int4 asym g128", …}}}; {@code none} keeps a layer as it is. */
public final class RecipeFile {
    private RecipeFile() {}

    /** Reads a recipe; what else the file says is for people. */
    public static Recipe read(Path file) throws IOException {
        try {
            JsonObject layers = JsonReader.parseObject(Files.readString(file, StandardCharsets.UTF_8)).object("layers");
            Map<String, Scheme> schemes = new LinkedHashMap<>();
            for (String layer : layers.keys()) {
                String label = layers.text(layer);
                schemes.put(layer, label.equals("none") ? null : SchemeNames.parse(label).orElseThrow(() -> new CliException(file + ": layer " + layer
                        + ": scheme \"" + label + "\" is unknown; write none or a label such as \"int4 asym g128\"")));
            }
            return new Recipe(schemes, null);
        } catch (JsonException e) {
            throw new CliException(file + ": " + e.getMessage() + "; a recipe is {\"layers\": {\"NAME\": \"SCHEME\"}}, as lowbit advise writes it");
        }
    }

    /** The label that {@link #read} takes. */
    static String label(Scheme scheme) {
        return scheme == null || scheme instanceof Scheme.Dense ? "none" : scheme.label();
    }
}
