package io.lowbit.quant;

import org.junit.jupiter.api.Tag;

/** bitsandbytes' CUDA results, by the CPU at the vector width of this run. */
@Tag("widths")
class BitsAndBytesGoldenTest extends BitsAndBytesGoldenCases {
    @Override
    protected Engine engine() {
        return Engine.CPU;
    }
}
