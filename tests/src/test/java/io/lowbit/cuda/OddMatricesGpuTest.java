package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.OddMatrices;
import io.lowbit.backend.ProductCase;
import io.lowbit.backend.RandomMatrix;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Act-order, ggml's blocks and INT8 on the card: the CPU's bits, products within the bound. */
@Tag("gpu")
class OddMatricesGpuTest {
    @Test
    void bitsAndBounds() {
        Gpu.require();
        int products = 0;
        try (CudaBackend backend = CudaBackend.open(0); Arena arena = Arena.ofShared()) {
            for (QuantizedMatrix w : OddMatrices.all(arena)) {
                try (CudaLinear layer = backend.load(w)) {
                    Tensor floats = Tensor.allocate(arena, DType.F32, w.n(), w.k());
                    layer.dequantize(floats);
                    for (long i = 0; i < floats.elements(); i++) {
                        assertEquals(Float.floatToRawIntBits(w.value(i / w.k(), i % w.k())), Float.floatToRawIntBits(floats.getFloat(i)), w + " " + i);
                    }
                    for (int m : new int[] {1, 5, 16, 70}) {
                        Tensor x = RandomMatrix.floats(arena, new SplittableRandom(m), DType.F32, 1f, true, m, w.k());
                        Tensor y = Tensor.allocate(arena, DType.F32, m, w.n());
                        layer.forward(x, y);
                        double worst = ProductCase.worst(w, null, x, y, 1);
                        assertTrue(worst <= 1, () -> w + " m=" + m + ": error is " + worst + " of its bound");
                        products++;
                    }
                }
            }
        }
        System.out.println(products + " products of act-order, ggml's blocks and INT8 within the bound");
    }
}
