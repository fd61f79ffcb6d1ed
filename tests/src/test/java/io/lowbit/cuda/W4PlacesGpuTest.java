package io.lowbit.cuda;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * 4-bit kernels for few rows where one product has one block of each multiprocessor, some of them with nothing to do: several products one
 * behind the other, so that blocks of two are there at a time. And where two or three of a product's blocks share one.
 */
@Tag("gpu")
class W4PlacesGpuTest {
    private static final long K = 1160;
    private static final int PRODUCTS = 8;
    private static final long SEED = 43;

    @ParameterizedTest(name = "{0}, M = {1}, N = {2}, seed 43")
    @CsvSource({"w4-few-16x64-k2, 16, 3970", "w4-few-16x64-k2, 11, 4224", "w4-few-16x64-k2, 45, 1280", "w4-few-16x64-k2, 16, 8192", "w4-few-16x64-k2, 16, 11008",
        "w4-few-32x128, 32, 8190", "w4-few-64x64, 64, 3970", "w4-few-64x64, 100, 2100", "w4-few-64x64, 64, 8192"})
    void everyPlaceIsHeld(String name, int m, long n) {
        RepeatedProduct.check(name, m, n, K, PRODUCTS, SEED, 0, m / 2, m - 1);
    }
}
