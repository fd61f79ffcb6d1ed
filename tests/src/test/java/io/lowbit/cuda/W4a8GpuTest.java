package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** INT4 weights with activations quantized on the card to E4M3 or INT8, against the same quantization by the CPU's definition. */
@Tag("gpu")
class W4a8GpuTest {
    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};
    private static final List<Scheme.Int4> SCHEMES = List.of(
            new Scheme.Int4(Grouping.group(128), true, DType.F16), new Scheme.Int4(Grouping.group(128), false, DType.BF16),
            new Scheme.Int4(Grouping.group(256), true, DType.BF16), new Scheme.Int4(Grouping.CHANNEL, true),
            new Scheme.Int4(Grouping.TENSOR, false));
    /** {@code [N, K]}: what no tile divides, K beyond every ring of stages, rows that the copy engine cannot store. */
    private static final long[][] SHAPES = {{131, 272}, {264, 400}, {72, 4224}};

    @BeforeAll
    static void needsHopper() {
        Gpu.require();
        Assumptions.assumeTrue(Gpu.architectures().toList().contains(Architecture.SM90), "needs a Hopper GPU");
    }

    /** Every kernel, each at two M of its own in a table made for this test, so that one layer serves them all. */
    @Test
    void everyKernelKeepsItsBound() {
        List<ProductKernel> kernels = Catalogue.kernels(Architecture.SM90).stream()
                .filter(k -> SCHEMES.stream().anyMatch(s -> Arrays.stream(ActivationScaling.values())
                        .anyMatch(a -> k.supports(MatrixShape.plain(s, 4096, 4096), DType.BF16, DType.BF16, a)))).toList();
        StringBuilder table = new StringBuilder();
        for (int i = 0; i < kernels.size(); i++) {
            for (int m : rows(i)) {
                table.append("* int4_* e4m3-*|int8-* ").append(m).append(" * * ").append(kernels.get(i).name()).append('\n');
            }
        }
        int[] cases = new int[kernels.size()];
        int most = rows(kernels.size() - 1)[1];
        int turn = 0;
        try (CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.byTable(table.toString()))) {
            for (Scheme.Int4 scheme : SCHEMES) {
                for (long[] shape : SHAPES) {
                    try (Arena arena = Arena.ofShared()) {
                        QuantizedMatrix w = Schemes.quantized(arena, scheme, shape[0], shape[1], 41);
                        double[][] weights = Products.weights(w);
                        Tensor bias = turn % 2 == 0 ? null : Schemes.normal(arena, TYPES[turn % 3], 43, 1, shape[0]);
                        try (CudaLinear layer = backend.load(w, bias)) {
                            for (ActivationScaling scaling : ActivationScaling.values()) {
                                DType xType = TYPES[turn % 3];
                                DType yType = TYPES[turn / 2 % 3];
                                turn++;
                                Tensor all = Schemes.normal(arena, xType, 42 + turn, 3, most, shape[1]);
                                all.setFloat(0, 20);  // the first row has the largest, so that the scale of all is that of any first rows
                                double[][] x = W8a8GpuTest.quantized(all, scaling);
                                for (int i = 0; i < kernels.size(); i++) {
                                    if (kernels.get(i).supports(MatrixShape.of(w), xType, yType, scaling)) {
                                        product(arena, layer, kernels.get(i), rows(i)[cases[i]++ % 2], all, yType, scaling, weights, x, bias, scheme);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        for (int i = 0; i < kernels.size(); i++) {
            assertTrue(cases[i] >= 8, kernels.get(i).name() + ": " + cases[i] + " cases");
        }
    }

    private static void product(Arena arena, CudaLinear layer, ProductKernel kernel, int m, Tensor all, DType yType, ActivationScaling scaling,
            double[][] weights, double[][] x, Tensor bias, Scheme scheme) {
        Tensor first = all.rows(0, m);
        Tensor y = Tensor.allocate(arena, yType, m, weights.length);
        Tensor again = Tensor.allocate(arena, yType, m, weights.length);
        y.data().fill((byte) 0xff);
        String what = kernel.name() + " " + scheme.label() + " N=" + weights.length + " K=" + weights[0].length + " M=" + m + " x " + all.dtype() + " y "
                + yType + " " + scaling.label();
        assertEquals(kernel, layer.kernel(m, all.dtype(), yType, scaling, kernel.accumulation()), what);
        layer.forwardQuantized(first, y, scaling, kernel.accumulation());
        layer.forwardQuantized(first, again, scaling, kernel.accumulation());
        Products.check(what, weights, Arrays.copyOf(x, m), bias, y, kernel.operandRounding(scheme, all.dtype()));
        assertEquals(-1, y.data().mismatch(again.data()), () -> what + ": two runs differ");
    }

    /** The M of kernel {@code i}: one that few tiles hold, one that needs several. */
    private static int[] rows(int i) {
        return new int[] {1 + i, 129 + i};
    }

    /** By the table in the jar: what M picks, and what is refused with the way out. */
    @Test
    void whatNoKernelTakesIsRefused() {
        try (CudaBackend backend = CudaBackend.open(0, Architecture.SM90, KernelChoice.byTable()); Arena arena = Arena.ofShared()) {
            Tensor x = Schemes.normal(arena, DType.BF16, 3, 1, 2, 256);
            Tensor y = Tensor.allocate(arena, DType.BF16, 2, 64);
            QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Int4(Grouping.group(128), true), 64, 256, 1);
            try (CudaLinear layer = backend.load(w, null)) {
                assertEquals(Accumulation.EXACT, layer.kernel(2, DType.BF16, DType.BF16, ActivationScaling.ROW_INT8, Accumulation.EXACT).accumulation());
                assertEquals(Accumulation.EXACT, layer.kernel(2048, DType.BF16, DType.BF16, ActivationScaling.ROW, Accumulation.EXACT).accumulation());
                assertEquals(Accumulation.PRECISE, layer.kernel(2048, DType.BF16, DType.BF16, ActivationScaling.ROW, Accumulation.FAST).accumulation());
                refused(layer, x, y, ActivationScaling.BLOCK128);
            }
            try (CudaLinear layer = backend.load(Schemes.quantized(arena, new Scheme.Int4(Grouping.group(32), true), 64, 256, 1), null)) {
                refused(layer, x, y, ActivationScaling.ROW);
                refused(layer, x, y, ActivationScaling.ROW_INT8);
            }
        }
    }

    private static void refused(CudaLinear layer, Tensor x, Tensor y, ActivationScaling scaling) {
        String message = assertThrows(IllegalArgumentException.class, () -> layer.forwardQuantized(x, y, scaling, Accumulation.FAST)).getMessage();
        assertTrue(message.startsWith(layer.scheme().label() + ": no kernel here takes " + scaling.label() + " activations: "), message);
    }
}
