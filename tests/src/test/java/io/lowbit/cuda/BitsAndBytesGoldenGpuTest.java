package io.lowbit.cuda;

import io.lowbit.quant.BitsAndBytesGoldenCases;
import io.lowbit.quant.Engine;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;

/** bitsandbytes' CUDA results, by the device. */
@Tag("gpu")
class BitsAndBytesGoldenGpuTest extends BitsAndBytesGoldenCases {
    @BeforeAll
    static void requireGpu() {
        Gpu.require();
    }

    @Override
    protected Engine engine() {
        return GpuEngine.get();
    }
}
