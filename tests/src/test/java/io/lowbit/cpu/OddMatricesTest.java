package io.lowbit.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.Linear;
import io.lowbit.backend.OddMatrices;
import io.lowbit.backend.ProductCase;
import io.lowbit.backend.RandomMatrix;
import io.lowbit.quant.ActOrder;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Act-order, ggml's blocks and INT8 on the CPU: the bulk decoder gives the defined bits, products keep the bound. */
@Tag("widths")
class OddMatricesTest {
    @Test
    void productsAreWithinTheBoundAndRowsDecodeToTheDefinedBits() {
        try (CpuBackend backend = new CpuBackend(new BackendOptions(2)); Arena arena = Arena.ofShared()) {
            for (QuantizedMatrix w : OddMatrices.all(arena)) {
                Tensor floats = Dequantizer.dequantize(w, DType.F32, 2, arena);
                for (long i = 0; i < floats.elements(); i++) {
                    assertEquals(Float.floatToRawIntBits(w.value(i / w.k(), i % w.k())), Float.floatToRawIntBits(floats.getFloat(i)), w + " " + i);
                }
                Tensor bias = RandomMatrix.floats(arena, new SplittableRandom(2), DType.F32, 1f, true, w.n());
                try (Linear layer = backend.load(w, bias)) {
                    for (int m : new int[] {1, 3, 17}) {
                        for (DType type : new DType[] {DType.F32, DType.BF16}) {
                            Tensor x = RandomMatrix.floats(arena, new SplittableRandom(m), type, 1f, true, m, w.k());
                            Tensor y = Tensor.allocate(arena, DType.F32, m, w.n());
                            layer.forward(x, y);
                            double worst = ProductCase.worst(w, bias, x, y, 1);
                            assertTrue(worst <= 1, () -> w + " m=" + m + " " + type + ": error is " + worst + " of its bound");
                        }
                    }
                }
            }
        }
    }

    /** Sorting by group moves columns and nothing else. */
    @Test
    void actOrderSortsColumns() {
        try (Arena arena = Arena.ofShared()) {
            for (QuantizedMatrix w : OddMatrices.all(arena)) {
                if (w.groups() == null) {
                    continue;
                }
                ActOrder sorted = ActOrder.of(w, arena);
                for (long row = 0; row < w.n(); row++) {
                    for (int j = 0; j < w.k(); j++) {
                        assertEquals(Float.floatToRawIntBits(w.value(row, sorted.order()[j])), Float.floatToRawIntBits(sorted.matrix().value(row, j)));
                    }
                }
            }
        }
    }
}
