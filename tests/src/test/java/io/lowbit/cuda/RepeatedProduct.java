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

/** A product of INT4 in groups of 128 made several times, one behind the other, by one kernel of Hopper's. */
final class RepeatedProduct {
    private RepeatedProduct() {}

    /**
     * Fails where the kernel does not make it, where its results differ, or where a row of the first is off by more than the bound.
     *
     * @param name of the kernel
     * @param rows of y that are held against the product in double precision
     */
    static void check(String name, int m, long n, long k, int times, long seed, int... rows) {
        Gpu.require();
        Assumptions.assumeTrue(Gpu.architectures().anyMatch(Architecture.SM90::equals), "needs sm_90a");
        ProductKernel kernel = Catalogue.kernel(name);
        Scheme scheme = new Scheme.Int4(Grouping.group(128), true, DType.BF16);
        try (Arena arena = Arena.ofShared(); CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.always(name))) {
            QuantizedMatrix w = Schemes.quantized(arena, scheme, n, k, seed);
            Tensor x = Schemes.normal(arena, DType.BF16, seed, 1, m, k);
            Tensor[] y = new Tensor[times];
            for (int i = 0; i < times; i++) {
                y[i] = Tensor.allocate(arena, DType.F32, m, n);
            }
            try (CudaLinear layer = backend.load(w)) {
                assertSame(kernel, layer.kernel(m, DType.BF16, DType.F32));
                for (Tensor one : y) {
                    layer.forward(x, one);
                }
            }
            for (int i = 1; i < times; i++) {
                assertEquals(-1, y[0].data().mismatch(y[i].data()), "two runs differ");
            }
            double[][] weights = Products.weights(w);
            for (int row : rows) {
                Products.check(name + " row " + row, weights, Products.rows(x.rows(row, row + 1)), null, y[0].rows(row, row + 1),
                        kernel.operandRounding(scheme, DType.BF16));
            }
        }
    }
}
