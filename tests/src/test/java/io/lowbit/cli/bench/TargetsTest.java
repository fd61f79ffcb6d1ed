package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.cli.SchemeNames;
import io.lowbit.tensor.DType;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TargetsTest {
    @ParameterizedTest(name = "{0} M={1} {2}: {3}")
    @CsvSource({
        "int4 sym g128, 1, DRAM, 0.70", "int4 asym g128, 1, L3, 0.68", "int4 sym g128, 8, DRAM, 0.45", "int4 sym g128, 64, DRAM, 0.72",
        "int4 sym g128, 512, DRAM, 0.72", "int4 sym g32, 1, DRAM, -1", "int4 sym g128, 4, DRAM, -1",
        "nf4 b64, 1, DRAM, 0.60", "fp4 b64, 1, L3, 0.52", "mxfp4, 8, DRAM, 0.40", "nvfp4, 512, DRAM, 0.70",
        "fp8 e4m3 channel, 1, DRAM, 0.65", "fp8 e5m2 tensor, 1, L3, 0.58", "fp8 e4m3 channel, 8, L3, 0.45", "fp8 e4m3 block128x128, 64, DRAM, 0.70",
        "bf16, 1, DRAM, -1",
    })
    void theTableAt512BitsAndTwoThreads(String scheme, int m, Regime regime, double goal) {
        assertEquals(goal < 0 ? OptionalDouble.empty() : OptionalDouble.of(goal), Targets.of(gemm(scheme, m, regime, DType.F32), "cpu", 512, 2));
    }

    @Test
    void appliesOnlyWhereItWasSet() {
        GemmCase single = gemm("mxfp4", 1, Regime.DRAM, DType.F32);
        GemmCase batch = gemm("mxfp4", 64, Regime.DRAM, DType.F32);
        assertEquals(OptionalDouble.empty(), Targets.of(single, "cpu", 512, 1));
        assertEquals(OptionalDouble.empty(), Targets.of(single, "cpu", 0, 2));
        assertEquals(OptionalDouble.empty(), Targets.of(single, "cuda", 512, 2));
        assertEquals(OptionalDouble.empty(), Targets.of(gemm("mxfp4", 1, Regime.DRAM, DType.BF16), "cpu", 512, 2));
        assertEquals(OptionalDouble.of(0.60), Targets.of(batch, "cpu", 256, 2));
        assertEquals(OptionalDouble.empty(), Targets.of(batch, "cpu", 128, 2));
        assertEquals(OptionalDouble.empty(), Targets.of(batch, "cpu", 0, 2));
    }

    private static GemmCase gemm(String scheme, int m, Regime regime, DType dtype) {
        return new GemmCase(SchemeNames.parse(scheme).orElseThrow(), new GemmShape(4096, 4096), m, regime, dtype);
    }
}
