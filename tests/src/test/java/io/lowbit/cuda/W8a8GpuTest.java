package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.format.E8M0;
import io.lowbit.format.Float8;
import io.lowbit.format.Overflow;
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
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** FP8 weights with activations quantized on the card, against the same quantization by the CPU's definition. */
@Tag("gpu")
class W8a8GpuTest {
    private static final long[][] SHAPES = {{1, 1}, {65, 127}, {130, 260}, {129, 513}, {128, 256}, {256, 1024}};
    private static final long[] ROWS = {1, 3, 16, 70, 130};
    private static final List<Scheme> HOPPER_SCHEMES = List.of(
            new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR), new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL),
            new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.block(128, 128)), new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.CHANNEL),
            new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.block(128, 128)),
            new Scheme.Mxfp8(Scheme.Fp8Format.E4M3), new Scheme.Mxfp8(Scheme.Fp8Format.E5M2));
    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};

    /** Every kernel that sums exactly forced in turn, over all that it supports. */
    @ParameterizedTest(name = "{0}, seed 21")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void everyScalingKeepsTheBound(Architecture architecture) {
        Gpu.require();
        for (ProductKernel kernel : Catalogue.kernels(architecture)) {
            if (!takesFp8(kernel) || kernel.accumulation() != Accumulation.EXACT) {
                continue;  // LinearGpuTest and the test below have the others
            }
            try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always(kernel.name()))) {
                int cases = 0;
                for (Scheme.Fp8Format format : Scheme.Fp8Format.values()) {
                    for (Grouping grouping : new Grouping[] {Grouping.TENSOR, Grouping.CHANNEL, Grouping.block(128, 128), Grouping.block(64, 256)}) {
                        cases += bound(backend, kernel, new Scheme.Fp8(format, grouping));
                    }
                    cases += bound(backend, kernel, new Scheme.Mxfp8(format));
                }
                System.out.println(architecture + " " + kernel.name() + ": " + cases + " products of quantized activations within the bound");
                assertTrue(cases > 0, kernel.name() + " supports no case of the table: add one");
            }
        }
    }

    /**
     * Every other kernel, each at two M of its own in a table made for this test, so that one layer serves them all: odd N and
     * M, K that no tile divides, every grouping and scaling it supports, with and without a bias, every type of x and y.
     */
    @Test
    void everyKernelForHopperKeepsItsBound() {
        Gpu.require();
        List<Architecture> architectures = Gpu.architectures().toList();
        Assumptions.assumeTrue(architectures.contains(Architecture.SM90), "needs a Hopper GPU");
        List<ProductKernel> kernels = Catalogue.kernels(Architecture.SM90).stream()
                .filter(k -> k.accumulation() != Accumulation.EXACT && takesFp8(k)).toList();
        StringBuilder table = new StringBuilder();
        for (int i = 0; i < kernels.size(); i++) {
            for (int m : rows(i)) {
                table.append("* *fp8_* e4m3-*|e5m2-* ").append(m).append(" * * ").append(kernels.get(i).name()).append('\n');
            }
        }
        table.append("* *fp8_* e4m3-*|e5m2-* * * * w8a8\n");
        int[] cases = new int[kernels.size()];
        int most = rows(kernels.size() - 1)[1];
        try (CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.byTable(table.toString()))) {
            int turn = 0;
            for (Scheme scheme : HOPPER_SCHEMES) {
                // E5M2 has kernels of its own, but they differ in one instruction. MXFP8 has one scaling only.
                boolean e4m3 = scheme.label().contains("e4m3");
                long[][] shapes = !e4m3 ? new long[][] {{131, 272}} : scheme instanceof Scheme.Mxfp8
                        ? new long[][] {{131, 272}, {264, 400}, {200, 1024}, {77, 2064}} : new long[][] {{131, 272}, {264, 400}};
                for (long[] shape : shapes) {
                    for (ActivationScaling scaling : ActivationScaling.values()) {
                        DType xType = TYPES[turn % 3];
                        DType yType = TYPES[turn / 2 % 3];
                        turn++;
                        try (Arena arena = Arena.ofShared()) {
                            QuantizedMatrix w = Schemes.quantized(arena, scheme, shape[0], shape[1], 21);
                            double[][] weights = Products.weights(w);
                            Tensor all = Schemes.normal(arena, xType, 22 + turn, 3, most, shape[1]);
                            all.setFloat(0, 20);  // the first row has the largest, so that the scale of all is that of any first rows
                            double[][] x = quantized(all, scaling);
                            Tensor bias = turn % 2 == 0 ? null : Schemes.normal(arena, DType.F32, 23, 1, shape[0]);
                            try (CudaLinear layer = backend.load(w, bias)) {
                                for (int i = 0; i < kernels.size(); i++) {
                                    ProductKernel kernel = kernels.get(i);
                                    if (!kernel.supports(MatrixShape.of(w), xType, yType, scaling)) {
                                        continue;
                                    }
                                    int m = rows(i)[cases[i]++ % 2];
                                    Tensor first = Tensor.allocate(arena, xType, m, shape[1]);
                                    first.data().copyFrom(all.data().asSlice(0, first.data().byteSize()));
                                    Tensor y = Tensor.allocate(arena, yType, m, shape[0]);
                                    Tensor again = Tensor.allocate(arena, yType, m, shape[0]);
                                    y.data().fill((byte) 0xff);
                                    String what = kernel.name() + " " + w + " M=" + m + " x " + xType + " scaled per " + scaling;
                                    assertEquals(kernel, layer.kernel(m, xType, yType, scaling, kernel.accumulation()), what);
                                    layer.forwardQuantized(first, y, scaling, kernel.accumulation());
                                    layer.forwardQuantized(first, again, scaling, kernel.accumulation());
                                    Products.check(what, weights, Arrays.copyOf(x, m), bias, y, kernel.operandRounding(scheme, xType));
                                    assertEquals(-1, y.data().mismatch(again.data()), () -> what + ": two runs differ");
                                }
                            }
                        }
                    }
                }
            }
        }
        for (int i = 0; i < kernels.size(); i++) {
            assertTrue(cases[i] >= 4, kernels.get(i).name() + ": " + cases[i] + " cases");
        }
    }

    /** The M of kernel {@code i}: one that few tiles hold, one that needs several. */
    private static int[] rows(int i) {
        return new int[] {1 + i, 261 + i};
    }

    private static int bound(CudaBackend backend, ProductKernel kernel, Scheme scheme) {
        int cases = 0;
        int turn = 0;
        for (long[] shape : SHAPES) {
            for (ActivationScaling scaling : ActivationScaling.values()) {
                long m = ROWS[turn % ROWS.length];
                DType xType = TYPES[turn % 3];
                DType yType = TYPES[turn / 2 % 3];
                turn++;
                if (m > kernel.mostRows() || !kernel.supports(MatrixShape.plain(scheme, shape[0], shape[1]), xType, yType, scaling)) {
                    continue;
                }
                try (Arena arena = Arena.ofShared()) {
                    QuantizedMatrix w = Schemes.quantized(arena, scheme, shape[0], shape[1], 21);
                    Tensor x = Schemes.normal(arena, xType, 22 + turn, 3, m, shape[1]);
                    Tensor bias = turn % 2 == 0 ? null : Schemes.normal(arena, DType.F32, 23, 1, shape[0]);
                    Tensor y = Tensor.allocate(arena, yType, m, shape[0]);
                    Tensor again = Tensor.allocate(arena, yType, m, shape[0]);
                    y.data().fill((byte) 0xff);
                    String what = kernel.name() + " " + w + " M=" + m + " x " + xType + " scaled per " + scaling;
                    try (CudaLinear layer = backend.load(w, bias)) {
                        assertEquals(kernel, layer.kernel(m, xType, yType, scaling, kernel.accumulation()), what);
                        layer.forwardQuantized(x, y, scaling, kernel.accumulation());
                        layer.forwardQuantized(x, again, scaling, kernel.accumulation());
                    }
                    Products.check(what, Products.weights(w), quantized(x, scaling), bias, y, kernel.operandRounding(scheme, xType));
                    assertEquals(-1, y.data().mismatch(again.data()), () -> what + ": two runs differ");
                    cases++;
                }
            }
        }
        return cases;
    }

    private static boolean takesFp8(ProductKernel kernel) {
        return Products.takes(kernel, ActivationScaling.values()) && Stream.of(new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR),
                new Scheme.Mxfp8(Scheme.Fp8Format.E4M3)).anyMatch(scheme -> !kernel.entries(scheme).isEmpty());
    }

    /** What the card's activations should count as: E4M3(x / s) · s, or round(x / s) · s in INT8. */
    static double[][] quantized(Tensor x, ActivationScaling scaling) {
        int m = (int) x.dim(0);
        int k = (int) x.dim(1);
        double[][] out = new double[m][k];
        for (int row = 0; row < m; row++) {
            for (int col = 0; col < k; col++) {
                int firstRow = scaling.tensor() ? 0 : row;
                int lastRow = scaling.tensor() ? m : row + 1;
                int width = scaling.blocks() ? 128 : scaling.mx() ? 32 : Math.max(1, k);
                int firstCol = col / width * width;
                int lastCol = Math.min(k, firstCol + width);
                // Only at the start of what shares a scale: the value before holds for the rest.
                if (col != firstCol) {
                    continue;
                }
                float amax = 0;
                for (int r = firstRow; r < lastRow; r++) {
                    for (int c = firstCol; c < lastCol; c++) {
                        amax = Math.max(amax, Math.abs(x.getFloat((long) r * k + c)));
                    }
                }
                Float8 format = scaling.e5m2() ? Float8.E5M2 : Float8.E4M3;
                float largest = scaling.fp8() ? format.max() : scaling == ActivationScaling.ROW_INT4 ? 7 : 127;
                float s = amax == 0 ? 1 : Math.max(amax / largest, Float.MIN_NORMAL);
                if (scaling == ActivationScaling.BLOCK128_UE8M0 || scaling.mx()) {
                    s = E8M0.decode(E8M0.encode(s, E8M0.Rounding.TOWARD_POSITIVE, Overflow.NONSATURATING));
                }
                for (int c = firstCol; c < lastCol; c++) {
                    float v = x.getFloat((long) row * k + c);
                    out[row][c] = scaling.fp8() ? (double) format.decode(format.encode(v / s, Overflow.SATURATE)) * s
                            : Math.clamp(Math.rint(v / s), -largest, largest) * s;
                }
            }
        }
        return out;
    }
}
