package io.lowbit.cuda;

import io.lowbit.quant.BlockVectorsCases;
import io.lowbit.quant.Engine;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;

/** The published block vectors, by the device. */
@Tag("gpu")
class BlockVectorsGpuTest extends BlockVectorsCases {
    @BeforeAll
    static void requireGpu() {
        Gpu.require();
    }

    @Override
    protected Engine engine() {
        return GpuEngine.get();
    }
}
