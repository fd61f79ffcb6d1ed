package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("Product check (seed 11)")
class ProductCheckTest {
    private static final long SEED = 11;

    @ParameterizedTest(name = "y as {0}")
    @EnumSource(value = DType.class, names = {"F32", "F16", "BF16"})
    void acceptsARightProduct(DType type) {
        try (Arena arena = Arena.ofConfined()) {
            Product p = new Product(arena, 3, 37, 65, type);
            assertNull(p.check().fault());
            assertTrue(p.check().worst() > 0, "a rounded product has some error");
        }
    }

    @ParameterizedTest(name = "y as {0}")
    @EnumSource(value = DType.class, names = {"F32", "F16", "BF16"})
    void refusesOneElementBeyondItsBound(DType type) {
        try (Arena arena = Arena.ofConfined()) {
            Product p = new Product(arena, 3, 37, 65, type);
            long at = 2 * 37 + 5;
            p.y.setFloat(at, p.y.getFloat(at) * 1.02f);
            String fault = p.check().fault();
            assertNotNull(fault);
            assertTrue(fault.startsWith("y[2, 5] = "), fault);
        }
    }

    @Test
    void refusesAnElementThatWasNotWritten() {
        try (Arena arena = Arena.ofConfined()) {
            Product p = new Product(arena, 2, 700, 9, DType.F16);
            Tensor partly = Tensor.allocate(arena, DType.F16, 2, 700);
            ProductCheck.poison(partly);
            for (int i = 0; i < 1400; i++) {
                if (i != 700 + 333) {
                    partly.setFloat(i, p.y.getFloat(i));
                }
            }
            String fault = new ProductCheck(p.w, SEED).check(p.x, partly).fault();
            assertNotNull(fault);
            assertTrue(fault.startsWith("y[1, 333] is NaN"), fault);
        }
    }

    @Test
    void bothEndsOfALargeMatrixAreAlwaysInTheSample() {
        try (Arena arena = Arena.ofConfined()) {
            for (long at : new long[] {0, 2999, 39 * 3000L, 40 * 3000L - 1}) {
                Product p = new Product(arena, 40, 3000, 4, DType.F32);
                p.y.setFloat(at, p.y.getFloat(at) + 1f);
                assertNotNull(p.check().fault(), "element " + at);
            }
        }
    }

    @Test
    void aProductWithZerosMustBeExactlyZero() {
        try (Arena arena = Arena.ofConfined()) {
            Tensor x = Tensor.ofFloats(arena, new float[] {1, 2}, 1, 2);
            QuantizedMatrix w = QuantizedMatrix.dense(Tensor.ofFloats(arena, new float[] {0, 0}, 1, 2));
            ProductCheck check = new ProductCheck(w, SEED);
            assertNull(check.check(x, Tensor.ofFloats(arena, new float[] {0}, 1, 1)).fault());
            assertNotNull(check.check(x, Tensor.ofFloats(arena, new float[] {1e-30f}, 1, 1)).fault());
        }
    }

    /** A product of random matrices, computed in f32 from left to right. */
    private static final class Product {
        final Tensor x;
        final Tensor y;
        final QuantizedMatrix w;

        Product(Arena arena, int m, int n, int k, DType type) {
            SplittableRandom random = new SplittableRandom(SEED);
            float[] xs = new float[m * k];
            float[] ws = new float[n * k];
            for (int i = 0; i < xs.length; i++) {
                xs[i] = (float) random.nextGaussian();
            }
            for (int i = 0; i < ws.length; i++) {
                ws[i] = (float) random.nextGaussian();
            }
            x = Tensor.ofFloats(arena, xs, m, k);
            w = QuantizedMatrix.dense(Tensor.ofFloats(arena, ws, n, k));
            y = Tensor.allocate(arena, type, m, n);
            for (int i = 0; i < m; i++) {
                for (int j = 0; j < n; j++) {
                    float sum = 0;
                    for (int l = 0; l < k; l++) {
                        sum += xs[i * k + l] * ws[j * k + l];
                    }
                    y.setFloat((long) i * n + j, sum);
                }
            }
        }

        ProductCheck.Verdict check() {
            return new ProductCheck(w, SEED).check(x, y);
        }
    }
}
