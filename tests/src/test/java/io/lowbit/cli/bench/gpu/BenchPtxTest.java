package io.lowbit.cli.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.kernels.Architecture;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** The harness's kernels ride with the command line. Needs no GPU. */
class BenchPtxTest {
    @Test
    void everyKernelIsThere() {
        for (Architecture architecture : Architecture.values()) {
            String ptx = new String(BenchKernels.ptx("bench." + architecture.target() + ".ptx"), StandardCharsets.UTF_8);
            for (String kernel : new String[] {"normal", "read_1", "read_4", "read_8", "amax", "quantize", "rows", "reference", "first_nan"}) {
                assertTrue(ptx.contains(".visible .entry " + architecture.prefix() + "_bench_" + kernel + "("), kernel);
            }
        }
    }
}
