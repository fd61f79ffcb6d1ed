package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.BackendProductCases;
import io.lowbit.backend.Backends;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The cases of every backend on the GPU, with the kernels that the table picks. */
@Tag("gpu")
class CudaProductGpuTest extends BackendProductCases {
    private static CudaBackend backend;

    @BeforeAll
    static void open() {
        backend = Gpu.open(null, KernelChoice.byTable());
    }

    @AfterAll
    static void close() {
        if (backend != null) {
            backend.close();
        }
    }

    @Override
    protected Backend backend() {
        return backend;
    }

    /** Every M from 1 to 4096, with the kernels that the table picks for it. */
    @Test
    void everyNumberOfRows() {
        int n = 64;
        int k = 256;
        int most = 4096;
        for (Scheme scheme : List.of(new Scheme.Int4(Grouping.group(128), false), new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL))) {
            try (Arena arena = Arena.ofShared()) {
                QuantizedMatrix w = Schemes.quantized(arena, scheme, n, k, 51);
                Tensor x = Schemes.normal(arena, DType.BF16, 52, 1, most, k);
                double[][] weights = Products.weights(w);
                double[][] xs = Products.rows(x);
                double[] sums = new double[most * n];
                double[] magnitudes = new double[most * n];
                IntStream.range(0, most).parallel().forEach(row -> {
                    for (int col = 0; col < n; col++) {
                        for (int i = 0; i < k; i++) {
                            double product = xs[row][i] * weights[col][i];
                            sums[row * n + col] += product;
                            magnitudes[row * n + col] += Math.abs(product);
                        }
                    }
                });
                try (CudaLinear layer = backend.load(w)) {
                    IntStream.rangeClosed(1, most).parallel().forEach(m -> {
                        float[] y = new float[m * n];
                        layer.forward(x.rows(0, m), new Tensor(DType.F32, Shape.of(m, n), MemorySegment.ofArray(y)));
                        double part = (k + 2) * 0x1p-24 + layer.operandRounding(m, DType.BF16, DType.F32);
                        for (int i = 0; i < m * n; i++) {
                            double error = Math.abs(y[i] - sums[i]);
                            if (!(error <= part * magnitudes[i] + Math.abs(sums[i]) * 0x1p-24)) {
                                fail(layer.kernel(m, DType.BF16, DType.F32).name() + " " + w + " M=" + m + " y[" + i / n + ", " + i % n
                                        + "]: off by " + error);
                            }
                        }
                    });
                }
            }
        }
    }

    @Test
    void backendIsFoundByName() {
        Backends.Selection selection = Backends.open("auto", new BackendOptions(2));
        try (Backend found = selection.backend()) {
            assertEquals("cuda", found.name());
            assertTrue(found.description().contains(backend.context().device().name()), found.description());
        }
    }
}
