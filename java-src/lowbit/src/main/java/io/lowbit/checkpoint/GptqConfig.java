package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonValue;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * What GPTQ's configuration says of one layer: {@code bits}, {@code group_size}, {@code sym}, {@code checkpoint_format},
 * with the overrides of {@code dynamic} (by regular expressions on the layer's name).
 *
 * @param bits of a code
 * @param groupSize −1 for a whole column; 0 where nothing is said
 * @param sym null where nothing is said
 * @param format {@code gptq} or {@code gptq_v2}; null where nothing is said
 */
record GptqConfig(long bits, long groupSize, Boolean sym, String format) {
    static final GptqConfig NONE = new GptqConfig(4, 0, null, null);
    private static final int PATTERN_LENGTH = 1000;

    static GptqConfig of(Checkpoint c, String layer) {
        JsonObject config = c.quantizationConfig().orElse(null);
        if (config == null) {
            return NONE;
        }
        try {
            GptqConfig all = read(config, NONE);
            if (config.has("dynamic")) {
                for (Map.Entry<String, JsonValue> e : config.object("dynamic").members().entrySet()) {
                    if (matches(e.getKey(), layer) && e.getValue() instanceof JsonObject override) {
                        return read(override, all);
                    }
                }
            }
            return all;
        } catch (JsonException | PatternSyntaxException e) {
            throw new CheckpointException(Fault.LAYOUT, c.path().toString(), "quantization_config: " + String.valueOf(e.getMessage()).lines().findFirst().orElse(""),
                    "repair the configuration", e);
        }
    }

    private static GptqConfig read(JsonObject o, GptqConfig otherwise) {
        return new GptqConfig(o.integer("bits", otherwise.bits), o.integer("group_size", otherwise.groupSize),
                o.has("sym") ? (Boolean) o.bool("sym") : otherwise.sym, o.text("checkpoint_format", otherwise.format));
    }

    /** GPTQModel's keys: {@code +:regex} or {@code regex} override, {@code -:regex} leave the layer out; matched at the start. */
    private static boolean matches(String key, String layer) {
        if (key.startsWith("-:") || key.length() > PATTERN_LENGTH) {
            return false;
        }
        return Pattern.compile(key.startsWith("+:") ? key.substring(2) : key).matcher(layer).lookingAt();
    }
}
