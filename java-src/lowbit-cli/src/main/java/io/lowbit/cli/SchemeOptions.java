package io.lowbit.cli;

import io.lowbit.format.MxScaleRule;
import io.lowbit.format.Overflow;
import io.lowbit.quant.ClipSearch;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.NonFinite;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * {@code --scheme} and what refines it. Use as {@code @Mixin SchemeOptions scheme}. An option that does not apply to
 * the scheme is wrong usage, never ignored.
 */
public final class SchemeOptions {
    private static final Map<String, String> KINDS = Map.of(
            "int4", "int4 sym g128",
            "nf4", "nf4 b64",
            "fp4", "fp4 b64",
            "mxfp4", "mxfp4",
            "nvfp4", "nvfp4",
            "fp8-e4m3", "fp8 e4m3 channel",
            "fp8-e5m2", "fp8 e5m2 channel",
            "mxfp8-e4m3", "mxfp8 e4m3",
            "mxfp8-e5m2", "mxfp8 e5m2");

    @Spec(Spec.Target.MIXEE)
    private CommandSpec spec;

    @Option(
            names = "--scheme",
            paramLabel = "S",
            split = ",",
            description = "int4|nf4|fp4|mxfp4|nvfp4|fp8-e4m3|fp8-e5m2|mxfp8-e4m3|mxfp8-e5m2|none, for GGUF files q4_0|q4_1|q8_0|iq4_nl, or a full label such as \"int4 sym g128\". "
                    + "Alone they mean: int4 = int4 sym g128, nf4 = nf4 b64, fp4 = fp4 b64 (bitsandbytes' FP4), "
                    + "fp8-* = per channel.")
    private List<String> schemes = new ArrayList<>();

    @Option(
            names = "--group",
            paramLabel = "N|channel|tensor|block128",
            description = "Weights that share a scale: N neighbours along K (int4, default 128), blocks of N (nf4, fp4, "
                    + "default 64), a channel or the whole tensor (int4, fp8), 128x128 tiles (fp8).")
    private String group;

    @Option(names = "--asymmetric", description = "int4 with zero points. Default: symmetric.")
    private boolean asymmetric;

    @Option(names = "--double-quant", description = "nf4, fp4: the scales themselves in 8 bits. Default: f32 scales.")
    private boolean doubleQuant;

    @Option(names = "--scale-type", paramLabel = "f16|bf16|f32", description = "int4: type of the scales. Default: f16.")
    private ScaleType scaleType;

    @Option(
            names = "--clip-search",
            description = "int4: search the clipping range with the least error (GPTQ's mse: norm 2.4, 100 steps, down to "
                    + "a fifth). Default: the full range.")
    private boolean clipSearch;

    @Option(
            names = "--mx-scale",
            paramLabel = "floor|rceil|ceil|even",
            description = "mxfp4, mxfp8: rule of the block scale. Default: floor (OCP MX 1.0).")
    private MxScaleRule mxScale;

    @Option(
            names = "--overflow",
            paramLabel = "saturate|nonsaturating",
            description = "fp8, mxfp8: values beyond the largest finite one. Default: saturate.")
    private Overflow overflow;

    @Option(
            names = "--non-finite",
            paramLabel = "reject|zero|propagate",
            description = "NaN and infinite weights: refuse them by index, take them as zero, or keep NaN (fp8, mxfp8). "
                    + "Default: reject.")
    private NonFinite nonFinite;

    /** Names of {@code --scale-type}. */
    enum ScaleType {
        f16,
        bf16,
        f32
    }

    /** True where {@code --scheme} was given. */
    public boolean given() {
        return !schemes.isEmpty();
    }

    /**
     * The one scheme asked for.
     *
     * @return empty for {@code none} or where the option was not given
     * @throws ParameterException for an unknown name, several schemes, or an option that does not apply
     */
    public Optional<Scheme> one() {
        if (schemes.size() > 1) {
            throw wrong("--scheme given " + schemes.size() + " times: this command takes one");
        }
        return all().stream().findFirst().flatMap(s -> s);
    }

    /** Every scheme asked for, in order; empty elements stand for {@code none}: as the model is stored. */
    public List<Optional<Scheme>> all() {
        if (schemes.isEmpty()) {
            refuseRefinements("no --scheme is given", List.of());
        }
        return schemes.stream().map(this::resolve).toList();
    }

    /** How to choose codes and scales, with {@code threads} worker threads. */
    public QuantizeOptions options(int threads) {
        QuantizeOptions defaults = QuantizeOptions.DEFAULT;
        return new QuantizeOptions(
                clipSearch ? ClipSearch.GPTQ : null,
                mxScale == null ? defaults.mxScaleRule() : mxScale,
                overflow == null ? defaults.overflow() : overflow,
                nonFinite == null ? defaults.nonFinite() : nonFinite,
                threads);
    }

    /** One line that names a scheme and every choice behind it, defaults included. */
    public String describe(Scheme scheme) {
        QuantizeOptions options = options(1);
        String how = switch (scheme) {
            case Scheme.Dense _ -> "not quantized";
            case Scheme.Int4 s -> s.scaleType() + " scales, "
                    + (clipSearch ? "clip search (norm 2.4, 100 steps, shrink to 0.2)" : "round to nearest, no clip search");
            case Scheme.Bnb4 s -> s.doubleQuant() ? "8-bit scales in blocks of 256" : "F32 scales";
            case Scheme.Mxfp4 _ -> "blocks of 32, E8M0 scales by rule " + lower(options.mxScaleRule());
            case Scheme.Mxfp8 _ -> "blocks of 32, E8M0 scales by rule " + lower(options.mxScaleRule()) + ", overflow " + lower(options.overflow());
            case Scheme.Nvfp4 _ -> "blocks of 16, E4M3 scales, one F32 scale for the matrix";
            case Scheme.Int8 _ -> "F32 scales";
            case Scheme.Ggml _ -> "ggml's blocks";
            case Scheme.Fp8 _ -> "F32 scales, overflow " + lower(options.overflow());
        };
        return "scheme " + scheme.label() + ": " + how + "; non-finite weights: " + lower(options.nonFinite());
    }

    private Optional<Scheme> resolve(String text) {
        String name = text.strip().toLowerCase(Locale.ROOT);
        if (name.equals("none")) {
            refuseRefinements("--scheme none", List.of());
            return Optional.empty();
        }
        String label = KINDS.get(name);
        try {
            if (label == null) {
                Scheme scheme = SchemeNames.parse(name).orElseThrow(() -> wrong("--scheme '" + text
                        + "': expected int4, nf4, fp4, mxfp4, nvfp4, fp8-e4m3, fp8-e5m2, mxfp8-e4m3, mxfp8-e5m2, none or a label such as "
                        + SchemeNames.EXAMPLES));
                if (group != null || asymmetric || doubleQuant) {
                    throw wrong("--scheme '" + text + "' says it all: leave out --group, --asymmetric and --double-quant");
                }
                return Optional.of(refine(scheme));
            }
            return Optional.of(refine(grouped(SchemeNames.parse(label).orElseThrow())));
        } catch (IllegalArgumentException e) {
            // from the scheme's own constructor: a size it cannot have
            throw wrong(e.getMessage());
        }
    }

    /** Applies {@code --group}, {@code --asymmetric} and {@code --double-quant} to a family's default. */
    private Scheme grouped(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Int4 _ -> new Scheme.Int4(group == null ? Grouping.group(128) : grouping(), !asymmetric);
            case Scheme.Bnb4 s -> new Scheme.Bnb4(s.codebook(), group == null ? s.blockSize() : blockSize(s), doubleQuant);
            case Scheme.Fp8 s -> new Scheme.Fp8(s.format(), group == null ? s.grouping() : grouping());
            default -> {
                if (group != null) {
                    throw wrong("--group does not apply to " + scheme.label() + ": its blocks are always "
                            + (scheme instanceof Scheme.Nvfp4 ? Scheme.Nvfp4.BLOCK : Scheme.Mxfp4.BLOCK) + " weights");
                }
                yield scheme;
            }
        };
    }

    /** Applies {@code --scale-type} and refuses what does not fit the family. */
    private Scheme refine(Scheme scheme) {
        refuseRefinements("scheme " + scheme.label(), switch (scheme) {
            case Scheme.Int4 _ -> List.of("--asymmetric", "--scale-type", "--clip-search", "--group", "--non-finite");
            case Scheme.Bnb4 _ -> List.of("--double-quant", "--group", "--non-finite");
            case Scheme.Mxfp4 _ -> List.of("--mx-scale", "--non-finite");
            case Scheme.Mxfp8 _ -> List.of("--mx-scale", "--overflow", "--non-finite");
            case Scheme.Nvfp4 _ -> List.of("--non-finite");
            case Scheme.Fp8 _ -> List.of("--overflow", "--group", "--non-finite");
            case Scheme.Dense _, Scheme.Int8 _, Scheme.Ggml _ -> List.of("--non-finite");
        });
        if (nonFinite == NonFinite.PROPAGATE && !scheme.hasNan()) {
            throw wrong("--non-finite propagate does not apply to scheme " + scheme.label() + ": it has no NaN; reject or zero");
        }
        if (scheme instanceof Scheme.Int4 int4 && scaleType != null) {
            return new Scheme.Int4(int4.grouping(), int4.symmetric(), DType.valueOf(scaleType.name().toUpperCase(Locale.ROOT)));
        }
        return scheme;
    }

    private void refuseRefinements(String why, List<String> allowed) {
        record Given(String name, boolean given) {}
        for (Given option : List.of(
                new Given("--group", group != null),
                new Given("--asymmetric", asymmetric),
                new Given("--double-quant", doubleQuant),
                new Given("--scale-type", scaleType != null),
                new Given("--clip-search", clipSearch),
                new Given("--mx-scale", mxScale != null),
                new Given("--overflow", overflow != null),
                new Given("--non-finite", nonFinite != null))) {
            if (option.given && !allowed.contains(option.name)) {
                throw wrong(option.name + " does not apply: " + why + (allowed.isEmpty() ? "" : " takes " + String.join(", ", allowed)));
            }
        }
    }

    private Grouping grouping() {
        return switch (group) {
            case "channel" -> Grouping.CHANNEL;
            case "tensor" -> Grouping.TENSOR;
            case "block128" -> Grouping.block(128, 128);
            default -> Grouping.group(size());
        };
    }

    private int blockSize(Scheme.Bnb4 scheme) {
        if (!Character.isDigit(group.isEmpty() ? ' ' : group.charAt(0))) {
            throw wrong("--group " + group + " does not apply to " + scheme.label() + ": its blocks have a size, --group 64");
        }
        return size();
    }

    private int size() {
        try {
            return Integer.parseInt(group);
        } catch (NumberFormatException e) {
            throw wrong("--group '" + group + "': expected a number, channel, tensor or block128");
        }
    }

    private ParameterException wrong(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    private static String lower(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT);
    }
}
