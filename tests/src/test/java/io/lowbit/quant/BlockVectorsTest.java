package io.lowbit.quant;

import org.junit.jupiter.api.Tag;

/** The published block vectors, by the CPU at the vector width of this run. */
@Tag("widths")
class BlockVectorsTest extends BlockVectorsCases {
    @Override
    protected Engine engine() {
        return Engine.CPU;
    }
}
