package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cli.Cli;
import io.lowbit.cli.bench.gpu.QuantizerBench;
import io.lowbit.cli.bench.gpu.QuantizerBench.Before;
import io.lowbit.cli.bench.gpu.QuantizerBench.Kind;
import io.lowbit.quant.ActivationScaling;
import java.util.List;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("lowbit bench quantize")
class QuantizersCommandTest {
    @ParameterizedTest(name = "lowbit bench quantize {0}")
    @ValueSource(strings = {"--m 0", "--k 100", "--k 0", "--m x"})
    void wrongUsageExitsTwoWithOneLine(String line) {
        Cli run = Cli.run(("bench quantize " + line).split(" "));
        assertEquals(2, run.exit(), run.err());
        assertEquals(1, run.errLines().size(), run.err());
        assertEquals("", run.out());
    }

    @Test
    void theCpuHasNothingToTime() {
        Cli run = Cli.run("bench", "quantize", "--backend", "cpu");
        assertEquals(1, run.exit(), run.err());
        assertEquals(1, run.errLines().size(), run.err());
        assertTrue(run.err().contains("only a GPU quantizes activations"), run.err());
    }

    /** 10 µs for 30 MB are 3000 GB/s; a copy that takes 8 µs is 0.8 of the time; the product alone takes 20 µs, with the quantizer 26. */
    @Test
    void figuresAreWhatTheirColumnsSay() {
        List<String> lines = QuantizersCommand.table(List.of(
                new QuantizerBench.Result(new Kind(Before.NORM, ActivationScaling.ROW), 16, 4096, 30_000_000, 10_000, 8_000, 20_000, 26_000, 19_000),
                new QuantizerBench.Result(new Kind(Before.NOTHING, ActivationScaling.ROW_INT8), 1, 4096, 12_000, 2_000, 1_000, Double.NaN, Double.NaN, Double.NaN))).lines();
        assertEquals(List.of("before", "scaling", "M", "K", "us", "GB/s", "copy", "us", "of", "copy", "product", "us", "both", "us", "more", "us", "y8", "us"), words(lines.get(0)));
        assertEquals(List.of("norm", "e4m3-row", "16", "4096", "10.00", "3000", "8.00", "0.80", "20.00", "26.00", "6.00", "19.00"), words(lines.get(2)));
        assertEquals(List.of("-", "int8-row", "1", "4096", "2.00", "6", "1.00", "0.50", "-", "-", "-", "-"), words(lines.get(3)));
    }

    private static List<String> words(String line) {
        return List.of(line.strip().split("\\s+"));
    }
}
