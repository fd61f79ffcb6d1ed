package io.lowbit.quant;

import org.junit.jupiter.api.Tag;

/** torchao's MXFP4, MXFP8 and NVFP4, compressed-tensors' NVFP4, by the CPU at the vector width of this run. */
@Tag("widths")
class MxNvGoldenTest extends MxNvGoldenCases {
    @Override
    protected Engine engine() {
        return Engine.CPU;
    }
}
