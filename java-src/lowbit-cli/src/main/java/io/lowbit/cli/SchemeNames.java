package io.lowbit.cli;

import io.lowbit.format.GgmlBlock;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads the labels that {@link Scheme#label()} writes: {@code int4 sym g128}, {@code nf4 b64 dq}, {@code fp8 e4m3 channel}. */
public final class SchemeNames {
    /** One label of each family, for messages. */
    static final String EXAMPLES = "\"int4 sym g128\", \"nf4 b64 dq\", \"fp4 b64\", \"mxfp4\", \"nvfp4\", \"fp8 e4m3 channel\", \"mxfp8 e4m3\", \"bf16\"";

    private static final Pattern INT4 = Pattern.compile("int4 (sym|asym) (\\S+)");
    private static final Pattern BNB = Pattern.compile("(nf4|fp4) b(\\d{1,6})( dq)?");
    private static final Pattern FP8 = Pattern.compile("fp8 (e4m3|e5m2) (\\S+)");
    private static final Pattern GROUP = Pattern.compile("g(\\d{1,9})");
    private static final Pattern BLOCK = Pattern.compile("block(\\d{1,9})x(\\d{1,9})");

    private SchemeNames() {}

    /**
     * The scheme of a label.
     *
     * @return empty where the text is no such label
     * @throws IllegalArgumentException where it is one, but with a group or block that the scheme refuses
     */
    public static Optional<Scheme> parse(String label) {
        Matcher int4 = INT4.matcher(label);
        if (int4.matches()) {
            return grouping(int4.group(2)).map(g -> new Scheme.Int4(g, int4.group(1).equals("sym")));
        }
        Matcher bnb = BNB.matcher(label);
        if (bnb.matches()) {
            return Optional.of(new Scheme.Bnb4(
                    bnb.group(1).equals("nf4") ? Scheme.Codebook.NF4 : Scheme.Codebook.FP4,
                    Integer.parseInt(bnb.group(2)),
                    bnb.group(3) != null));
        }
        Matcher fp8 = FP8.matcher(label);
        if (fp8.matches()) {
            Scheme.Fp8Format format = fp8.group(1).equals("e4m3") ? Scheme.Fp8Format.E4M3 : Scheme.Fp8Format.E5M2;
            return grouping(fp8.group(2)).map(g -> new Scheme.Fp8(format, g));
        }
        return switch (label) {
            case "mxfp4" -> Optional.of(new Scheme.Mxfp4());
            case "mxfp8 e4m3" -> Optional.of(new Scheme.Mxfp8(Scheme.Fp8Format.E4M3));
            case "mxfp8 e5m2" -> Optional.of(new Scheme.Mxfp8(Scheme.Fp8Format.E5M2));
            case "nvfp4" -> Optional.of(new Scheme.Nvfp4());
            case "ggml q4_1", "q4_1" -> Optional.of(new Scheme.Ggml(GgmlBlock.Q4_1));
            case "ggml q8_0", "q8_0" -> Optional.of(new Scheme.Ggml(GgmlBlock.Q8_0));
            case "ggml iq4_nl", "iq4_nl" -> Optional.of(new Scheme.Ggml(GgmlBlock.IQ4_NL));
            case "q4_0" -> Optional.of(new Scheme.Int4(Grouping.group(32), true));
            case "f32" -> Optional.of(new Scheme.Dense(DType.F32));
            case "f16" -> Optional.of(new Scheme.Dense(DType.F16));
            case "bf16" -> Optional.of(new Scheme.Dense(DType.BF16));
            default -> Optional.empty();
        };
    }

    /** One of each family, for {@code demo} and help texts; the ones that users meet. */
    public static List<Scheme> common() {
        return List.of(
                new Scheme.Int4(Grouping.group(128), true),
                new Scheme.Int4(Grouping.group(128), false),
                new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false),
                new Scheme.Bnb4(Scheme.Codebook.FP4, 64, false),
                new Scheme.Mxfp4(),
                new Scheme.Nvfp4(),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL),
                new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.CHANNEL),
                new Scheme.Mxfp8(Scheme.Fp8Format.E4M3));
    }

    private static Optional<Grouping> grouping(String text) {
        Matcher group = GROUP.matcher(text);
        if (group.matches()) {
            return Optional.of(Grouping.group(Integer.parseInt(group.group(1))));
        }
        Matcher block = BLOCK.matcher(text);
        if (block.matches()) {
            return Optional.of(Grouping.block(Integer.parseInt(block.group(1)), Integer.parseInt(block.group(2))));
        }
        return switch (text) {
            case "tensor" -> Optional.of(Grouping.TENSOR);
            case "channel" -> Optional.of(Grouping.CHANNEL);
            default -> Optional.empty();
        };
    }
}
