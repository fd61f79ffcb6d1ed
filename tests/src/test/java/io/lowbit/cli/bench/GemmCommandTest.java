package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cli.Cli;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("lowbit bench gemm")
class GemmCommandTest {
    @ParameterizedTest(name = "lowbit bench {0}")
    @ValueSource(strings = {"", "gemm --shape 4096", "gemm --shape 0x4", "gemm --m 0", "gemm --m x", "gemm --scheme none", "gemm --scheme int3",
        "gemm --regime l4", "gemm --dtype f64", "gemm --runs 0", "gemm --seconds -1", "gemm --seconds NaN", "gemm --profile int4", "gemm --profile int4/8x8/0", "gemm --profile int5/8x8/1", "gemm --cold -1", "gemm --activations fp8",
        "gemm --backend cpu --peers-only", "gemm --backend cpu --kernel gemv", "gemm --backend cpu --kernels w4-*"})
    void wrongUsageExitsTwoWithOneLine(String line) {
        Cli run = Cli.run(("bench " + line).strip().split(" "));
        assertEquals(2, run.exit(), run.err());
        assertEquals(1, run.errLines().size(), run.err());
        assertEquals("", run.out());
    }

    @Test
    void whatIsNoEarlierResultIsRefusedBeforeTheTimeIsSpent(@TempDir Path folder) throws Exception {
        Path file = Files.writeString(folder.resolve("x.json"), "{}");
        Cli run = Cli.run("bench", "gemm", "--backend", "cpu", "--compare", file.toString());
        assertEquals(1, run.exit());
        assertEquals(1, run.errLines().size(), run.err());
        assertTrue(run.err().contains("no result of bench gemm"), run.err());
        assertEquals("", run.out());
    }

    @Test
    void helpNamesTheDefaults() {
        Cli help = Cli.run("bench", "gemm", "--help");
        assertEquals(0, help.exit());
        assertTrue(help.out().contains("4096x4096,11008x4096"), help.out());
        assertTrue(help.out().contains("1,8,64,512"), help.out());
    }
}
