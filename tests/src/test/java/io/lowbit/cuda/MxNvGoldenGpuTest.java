package io.lowbit.cuda;

import io.lowbit.quant.MxNvGoldenCases;
import io.lowbit.quant.Engine;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;

/** torchao's MXFP4, MXFP8 and NVFP4, compressed-tensors' NVFP4, by the device. */
@Tag("gpu")
class MxNvGoldenGpuTest extends MxNvGoldenCases {
    @BeforeAll
    static void requireGpu() {
        Gpu.require();
    }

    @Override
    protected Engine engine() {
        return GpuEngine.get();
    }
}
