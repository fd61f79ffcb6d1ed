package io.lowbit.cpu;

import io.lowbit.backend.Linear;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/** Runs a layer until its code is compiled. */
final class WarmUp {
    private static final int[] ROWS = {1, 4, 8, 12, 9};
    /** Calls after which C2 has been asked for every kernel. */
    private static final int CALLS = 12_000;

    private WarmUp() {}

    static void run(Linear layer, double seconds) {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        for (int m : ROWS) {
            try (Arena arena = Arena.ofShared()) {
                Tensor x = Tensor.allocate(arena, DType.F32, m, layer.inFeatures());
                Tensor y = Tensor.allocate(arena, DType.F32, m, layer.outFeatures());
                long part = System.nanoTime() + (long) (seconds * 1e9 / ROWS.length);
                for (int i = 0; i < CALLS && System.nanoTime() < Math.min(part, end); i++) {
                    layer.forward(x, y);
                }
            }
        }
    }
}
