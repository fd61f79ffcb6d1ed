package io.lowbit.cuda;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendContractCases;
import org.junit.jupiter.api.Tag;

/** The contract of every backend on the GPU. */
@Tag("gpu")
class CudaContractGpuTest extends BackendContractCases {
    @Override
    protected Backend open(int threads) {
        return Gpu.open();
    }
}
