package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.format.MxScaleRule;
import io.lowbit.format.Overflow;
import io.lowbit.quant.ClipSearch;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.NonFinite;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.ParameterException;

class SchemeOptionsTest {
    @Command(name = "probe")
    static final class Probe {
        @Mixin
        private SchemeOptions scheme;
    }

    private static SchemeOptions parse(String... args) {
        Probe probe = new Probe();
        new CommandLine(probe).setCaseInsensitiveEnumValuesAllowed(true).parseArgs(args);
        return probe.scheme;
    }

    static Stream<Scheme> schemes() {
        return Stream.of(
                new Scheme.Int4(Grouping.TENSOR, true),
                new Scheme.Int4(Grouping.CHANNEL, false),
                new Scheme.Int4(Grouping.group(37), true),
                new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false),
                new Scheme.Bnb4(Scheme.Codebook.NF4, 4096, true),
                new Scheme.Bnb4(Scheme.Codebook.FP4, 32, true),
                new Scheme.Mxfp4(),
                new Scheme.Nvfp4(),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR),
                new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.block(128, 128)),
                new Scheme.Mxfp8(Scheme.Fp8Format.E4M3),
                new Scheme.Mxfp8(Scheme.Fp8Format.E5M2),
                new Scheme.Dense(DType.F32),
                new Scheme.Dense(DType.F16),
                new Scheme.Dense(DType.BF16));
    }

    @ParameterizedTest
    @MethodSource("schemes")
    void labelsRoundTrip(Scheme scheme) {
        assertEquals(Optional.of(scheme), SchemeNames.parse(scheme.label()));
        assertEquals(Optional.of(scheme), parse("--scheme", scheme.label()).one());
    }

    @ParameterizedTest(name = "{0} = {1}")
    @CsvSource(
            delimiter = '|',
            value = {
                "--scheme=int4|int4 sym g128",
                "--scheme=INT4 --asymmetric --group=32|int4 asym g32",
                "--scheme=int4 --group=tensor|int4 sym tensor",
                "--scheme=nf4|nf4 b64",
                "--scheme=nf4 --group=128 --double-quant|nf4 b128 dq",
                "--scheme=fp4|fp4 b64",
                "--scheme=mxfp4 --mx-scale=rceil|mxfp4",
                "--scheme=nvfp4|nvfp4",
                "--scheme=fp8-e4m3|fp8 e4m3 channel",
                "--scheme=fp8-e5m2 --group=tensor --overflow=nonsaturating|fp8 e5m2 tensor",
                "--scheme=fp8-e4m3 --group=block128|fp8 e4m3 block128x128",
                "--scheme=mxfp8-e4m3 --mx-scale=rceil --non-finite=propagate|mxfp8 e4m3",
                "--scheme=mxfp8-e5m2 --overflow=nonsaturating|mxfp8 e5m2",
            })
    void optionsRefineTheFamily(String args, String label) {
        assertEquals(label, parse(args.split(" ")).one().orElseThrow().label());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(
            delimiter = '|',
            value = {
                "--scheme=int5|expected int4",
                "--scheme=int4 --double-quant|--double-quant does not apply",
                "--scheme=int4 --group=block128|INT4 is grouped",
                "--scheme=int4 --group=0|at least 1",
                "--scheme=int4 --group=many|expected a number",
                "--scheme=int4 --non-finite=propagate|no NaN",
                "--scheme=nf4 --asymmetric|--asymmetric does not apply",
                "--scheme=nf4 --group=channel|its blocks have a size",
                "--scheme=nf4 --group=48|power of two",
                "--scheme=mxfp4 --group=32|always 32",
                "--scheme=mxfp8-e4m3 --group=32|always 32",
                "--scheme=mxfp8|expected int4",
                "--scheme=nvfp4 --mx-scale=floor|--mx-scale does not apply",
                "--scheme=fp8-e4m3 --clip-search|--clip-search does not apply",
                "--scheme=fp8-e4m3 --group=128|not per g128",
                "--scheme=none --asymmetric|--asymmetric does not apply",
                "--asymmetric|no --scheme is given",
                "--scheme=int4 --scheme=nf4|takes one",
            })
    void whatDoesNotApplyIsWrongUsage(String args, String reason) {
        ParameterException e = assertThrows(ParameterException.class, () -> parse(args.split(" ")).one());
        assertTrue(e.getMessage().contains(reason), e.getMessage());
    }

    @Test
    void fullLabelTakesNoSecondGrouping() {
        assertThrows(ParameterException.class, () -> parse("--scheme", "int4 sym g128", "--group", "64").one());
    }

    @Test
    void severalSchemesKeepTheirOrder() {
        assertEquals(
                List.of(Optional.empty(), Optional.of(new Scheme.Nvfp4()), Optional.of(new Scheme.Mxfp4())),
                parse("--scheme", "none", "--scheme", "nvfp4", "--scheme", "mxfp4").all());
    }

    @Test
    void optionsDefaultToTheLibrarysAndAreTold() {
        assertEquals(QuantizeOptions.DEFAULT.withThreads(3), parse("--scheme", "int4").options(3));
        assertEquals(
                new QuantizeOptions(ClipSearch.GPTQ, MxScaleRule.FLOOR, Overflow.SATURATE, NonFinite.ZERO, 1),
                parse("--scheme", "int4", "--clip-search", "--non-finite", "zero").options(1));
        SchemeOptions int4 = parse("--scheme", "int4", "--scale-type", "bf16");
        String told = int4.describe(int4.one().orElseThrow());
        assertTrue(told.contains("int4 sym g128") && told.contains("BF16 scales") && told.contains("reject"), told);
    }
}
