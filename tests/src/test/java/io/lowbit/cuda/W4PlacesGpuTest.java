package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Assumptions;
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
        Gpu.require();
        Assumptions.assumeTrue(Gpu.architectures().anyMatch(Architecture.SM90::equals), "needs sm_90a");
        ProductKernel kernel = Catalogue.kernel(name);
        Scheme scheme = new Scheme.Int4(Grouping.group(128), true, DType.BF16);
        try (Arena arena = Arena.ofShared(); CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.always(name))) {
            QuantizedMatrix w = Schemes.quantized(arena, scheme, n, K, SEED);
            Tensor x = Schemes.normal(arena, DType.BF16, SEED, 1, m, K);
            Tensor[] y = new Tensor[PRODUCTS];
            try (CudaLinear layer = backend.load(w)) {
                assertSame(kernel, layer.kernel(m, DType.BF16, DType.F32));
                for (int i = 0; i < PRODUCTS; i++) {
                    y[i] = Tensor.allocate(arena, DType.F32, m, n);
                    layer.forward(x, y[i]);
                }
            }
            for (int i = 1; i < PRODUCTS; i++) {
                assertEquals(-1, y[0].data().mismatch(y[i].data()), "two runs differ");
            }
            double[][] weights = Products.weights(w);
            for (int row : new int[] {0, m / 2, m - 1}) {
                Products.check(name + " row " + row, weights, Products.rows(x.rows(row, row + 1)), null, y[0].rows(row, row + 1),
                        kernel.operandRounding(scheme, DType.BF16));
            }
        }
    }
}
