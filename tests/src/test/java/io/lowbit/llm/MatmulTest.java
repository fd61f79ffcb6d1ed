package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.lowbit.simd.Simd;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Tag("widths")
class MatmulTest {
    @DisplayName("vector twin gives the scalar bits and both the f64 product, seed 8")
    @ParameterizedTest(name = "m {0}, k {1}, n {2}")
    @CsvSource({"1, 1, 64", "2, 64, 128", "3, 7, 64", "4, 20, 192", "17, 65, 64", "32, 128, 256"})
    void scalarAndVectorAgree(int m, int k, int n) {
        assumeTrue(Simd.vectorized(), Simd.reason());
        Random random = new Random(8);
        int aStride = k + 3;
        int bStride = n + 64;
        int cStride = n + 5;
        int bAt = 9;
        float[] a = random(random, m * aStride);
        float[] b = random(random, bAt + k * bStride);
        float[] scalar = random(new Random(9), m * cStride);
        float[] vector = scalar.clone();
        float[] before = scalar.clone();
        new ScalarMatmul().multiply(a, aStride, m, k, b, bAt, bStride, n, scalar, cStride);
        new VectorMatmul().multiply(a, aStride, m, k, b, bAt, bStride, n, vector, cStride);
        for (int r = 0; r < m; r++) {
            for (int j = 0; j < cStride; j++) {
                String where = "[" + r + ", " + j + "]";
                int at = r * cStride + j;
                assertEquals(Float.floatToRawIntBits(scalar[at]), Float.floatToRawIntBits(vector[at]), where);
                if (j >= n) {
                    assertEquals(before[at], scalar[at], where + " is beyond the row's end");
                    continue;
                }
                double exact = 0;
                double size = 0;
                for (int i = 0; i < k; i++) {
                    double product = (double) a[r * aStride + i] * b[bAt + i * bStride + j];
                    exact += product;
                    size += Math.abs(product);
                }
                assertEquals(exact, scalar[at], (k + 2) * 0x1p-24 * size, where);
            }
        }
    }

    private static float[] random(Random random, int n) {
        float[] x = new float[n];
        for (int i = 0; i < n; i++) {
            x[i] = (float) random.nextGaussian();
        }
        return x;
    }
}
