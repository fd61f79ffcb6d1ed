package io.lowbit.quant;

import org.junit.jupiter.api.Tag;

/** FP8 by DeepGEMM and compressed-tensors, by the CPU at the vector width of this run. */
@Tag("widths")
class Fp8GoldenTest extends Fp8GoldenCases {
    @Override
    protected Engine engine() {
        return Engine.CPU;
    }
}
