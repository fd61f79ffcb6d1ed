package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;

/** The product of a reference layer against the reference's f64 one. */
public final class GoldenProducts {
    private GoldenProducts() {}

    /** y = x·Wᵀ + bias on {@code backend} lies within ((K+2)·2⁻²⁴ + r)·Σ|x||w| of {@code y_f64}, r as the layer states it. */
    public static void check(GoldenLayer golden, Backend backend, QuantizedMatrix m, Checkpoint c, SafetensorsFile expected) {
        Tensor bias = c.has(golden.layer() + ".bias") ? c.tensor(golden.layer() + ".bias") : null;
        Tensor x = expected.tensor(golden.prefix() + ".x");
        Tensor exact = expected.tensor(golden.prefix() + ".y_f64");
        int k = (int) m.k();
        try (Arena arena = Arena.ofShared(); Linear linear = backend.load(m, bias)) {
            Tensor y = Tensor.allocate(arena, DType.F32, x.dim(0), m.n());
            linear.forward(x, y);
            double relative = (k + 2) * 0x1p-24 + linear.operandRounding(x.dim(0), x.dtype(), y.dtype());
            for (long row = 0; row < x.dim(0); row++) {
                for (long n = 0; n < m.n(); n++) {
                    double sum = bias == null ? 0 : Math.abs(bias.getFloat(n));
                    for (int i = 0; i < k; i++) {
                        sum += Math.abs((double) x.getFloat(row * k + i) * m.value(n, i));
                    }
                    double want = exact.data().get(ValueLayout.JAVA_DOUBLE_UNALIGNED, 8 * (row * m.n() + n));
                    double got = y.getFloat(row * m.n() + n);
                    assertTrue(Math.abs(got - want) <= relative * sum + 1e-12 * Math.abs(want), golden + " [" + row + ", " + n + "] " + got + " for " + want);
                }
            }
        }
    }
}
