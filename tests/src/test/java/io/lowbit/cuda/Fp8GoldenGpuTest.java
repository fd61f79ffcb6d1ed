package io.lowbit.cuda;

import io.lowbit.quant.Fp8GoldenCases;
import io.lowbit.quant.Engine;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;

/** FP8 by DeepGEMM and compressed-tensors, by the device. */
@Tag("gpu")
class Fp8GoldenGpuTest extends Fp8GoldenCases {
    @BeforeAll
    static void requireGpu() {
        Gpu.require();
    }

    @Override
    protected Engine engine() {
        return GpuEngine.get();
    }
}
