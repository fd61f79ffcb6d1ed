package io.lowbit.cpu;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendContractCases;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.Linear;
import io.lowbit.backend.RandomMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The contract of every backend on the CPU. */
@Tag("widths")
class CpuContractTest extends BackendContractCases {
    @Override
    protected Backend open(int threads) {
        return new CpuBackend(new BackendOptions(threads));
    }

    @Test
    void warmUpLeavesALayerUsable() {
        try (CpuBackend backend = new CpuBackend(new BackendOptions(2)); Arena arena = Arena.ofShared();
                Linear layer = backend.load(RandomMatrix.of(arena, SCHEME, 40, 64, 1))) {
            backend.warmUp(layer, 0.2);
            layer.forward(Tensor.allocate(arena, DType.F32, 1, 64), Tensor.allocate(arena, DType.F32, 1, 40));
        }
    }
}
