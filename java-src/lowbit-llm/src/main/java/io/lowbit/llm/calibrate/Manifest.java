package io.lowbit.llm.calibrate;

import io.lowbit.checkpoint.json.JsonWriter;
import io.lowbit.llm.LowbitVersion;
import io.lowbit.quant.Scheme;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/** What a file's metadata tell of how it was made: with the same model, text and library, enough to make it again to the byte. */
final class Manifest {
    /** Key in the metadata. */
    static final String KEY = "lowbit_manifest";

    private Manifest() {}

    /** @param text null where none was used */
    static Map<String, String> of(CalibrationOptions options, CalibrationText text) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("library", "lowbit " + LowbitVersion.number());
        out.put("algorithm", options.algorithm().label());
        out.put("scheme", options.recipe().others() == null ? null : options.recipe().others().label());
        if (!options.recipe().layers().isEmpty()) {
            Map<String, Object> layers = new TreeMap<>();
            options.recipe().layers().forEach((name, scheme) -> layers.put(name, label(scheme)));
            out.put("layers", layers);
        }
        switch (options.algorithm()) {
            case GPTQ -> out.put("options", options.gptq().withThreads(1).toString());
            case AWQ -> out.put("options", options.awq().withThreads(1).toString());
            case HQQ -> out.put("options", options.hqq().withThreads(1).toString());
            default -> {}
        }
        out.put("rounding", options.rounding().withThreads(1).toString());
        if (text != null) {
            out.put("samples", text.windows().length);
            out.put("length", text.length());
            out.put("seed", text.seed());
            out.put("calibration_sha256", text.sha256());
        }
        return Map.of(KEY, JsonWriter.write(out, JsonWriter.Style.COMPACT));
    }

    private static String label(Scheme scheme) {
        return scheme == null ? "none" : scheme.label();
    }
}
