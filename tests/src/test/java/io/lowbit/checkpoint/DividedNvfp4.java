package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;

/** NVFP4 as compressed-tensors stores it, divided by its matrix scale: what a backend must make of it. */
public final class DividedNvfp4 {
    private DividedNvfp4() {}

    /**
     * Rows of the unit matrix pick single weights out of a product, exactly: they must be the reference's bits, for few
     * rows and for many. 1 / divisor as a multiplier would miss some, which is checked too.
     */
    public static void productsPickTheReferencesBits(Backend backend) throws IOException {
        int apart = 0;
        try (Checkpoint file = Checkpoint.open(Golden.path("nvfp4/compressed_tensors.safetensors"));
                SafetensorsFile expected = SafetensorsFile.open(Golden.path("nvfp4/compressed_tensors_expected.safetensors"));
                Arena arena = Arena.ofShared()) {
            Layouts layouts = Layouts.of(file);
            for (String layer : layouts.layers()) {
                QuantizedMatrix w = layouts.read(layer, arena);
                QuantizedMatrix multiplied = QuantizedMatrix.nvfp4(w.n(), w.k(), w.codes(), w.scales(), w.tensorScale());
                Tensor want = expected.tensor(layer + ".weight_f32");
                int k = Math.toIntExact(w.k());
                try (Linear linear = backend.load(w)) {
                    for (int rows : new int[] {1, 7, 64}) {
                        Tensor x = Tensor.allocate(arena, DType.F32, rows, k);
                        Tensor y = Tensor.allocate(arena, DType.F32, rows, w.n());
                        for (int first = 0; first < k; first += rows) {
                            x.data().fill((byte) 0);
                            for (int r = 0; r < rows && first + r < k; r++) {
                                x.setFloat((long) r * k + first + r, 1f);
                            }
                            linear.forward(x, y);
                            for (int r = 0; r < rows && first + r < k; r++) {
                                for (long n = 0; n < w.n(); n++) {
                                    float reference = want.getFloat(n * k + first + r);
                                    float got = y.getFloat(r * w.n() + n);
                                    // by ==: the sum around a weight of -0 is 0
                                    assertTrue(reference == got, layer + " [" + n + ", " + (first + r) + "], " + rows + " rows: " + got + " for " + reference);
                                    apart += multiplied.value(n, first + r) == reference ? 0 : 1;
                                }
                            }
                        }
                    }
                }
            }
        }
        assertTrue(apart > 0, "the file cannot tell a divisor from a multiplier");
    }
}
