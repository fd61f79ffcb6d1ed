package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Catalogue;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.ProductKernel;
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
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** FP8 weights with activations quantized on the card, against the same quantization by the CPU's definition. */
@Tag("gpu")
class W8a8GpuTest {
    private static final long[][] SHAPES = {{1, 1}, {65, 127}, {130, 260}, {129, 513}, {128, 256}, {256, 1024}};
    private static final long[] ROWS = {1, 3, 16, 70, 130};
    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};

    /** Every kernel forced in turn, over all that it supports. */
    @ParameterizedTest(name = "{0}, seed 21")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void everyScalingKeepsTheBound(Architecture architecture) {
        Gpu.require();
        for (ProductKernel kernel : Catalogue.kernels(architecture)) {
            if (!Products.takes(kernel, ActivationScaling.values())) {
                continue;  // LinearGpuTest forces the others
            }
            try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always(kernel.name()))) {
                int cases = 0;
                for (Scheme.Fp8Format format : Scheme.Fp8Format.values()) {
                    for (Grouping grouping : new Grouping[] {Grouping.TENSOR, Grouping.CHANNEL, Grouping.block(128, 128), Grouping.block(64, 256)}) {
                        cases += bound(backend, kernel, new Scheme.Fp8(format, grouping));
                    }
                }
                System.out.println(architecture + " " + kernel.name() + ": " + cases + " products of quantized activations within the bound");
                assertTrue(cases > 0, kernel.name() + " supports no case of the table: add one");
            }
        }
    }

    private static int bound(CudaBackend backend, ProductKernel kernel, Scheme.Fp8 scheme) {
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

    /** What the card's activations should count as: E4M3(x / s) · s. */
    private static double[][] quantized(Tensor x, ActivationScaling scaling) {
        int m = (int) x.dim(0);
        int k = (int) x.dim(1);
        double[][] out = new double[m][k];
        for (int row = 0; row < m; row++) {
            for (int col = 0; col < k; col++) {
                int firstRow = scaling == ActivationScaling.TENSOR ? 0 : row;
                int lastRow = scaling == ActivationScaling.TENSOR ? m : row + 1;
                int firstCol = scaling == ActivationScaling.BLOCK128 ? col / 128 * 128 : 0;
                int lastCol = scaling == ActivationScaling.BLOCK128 ? Math.min(k, firstCol + 128) : k;
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
                float s = amax == 0 ? 1 : amax / 448f;
                for (int c = firstCol; c < lastCol; c++) {
                    float v = x.getFloat((long) row * k + c);
                    out[row][c] = (double) Float8.E4M3.decode(Float8.E4M3.encode(v / s, Overflow.SATURATE)) * s;
                }
            }
        }
        return out;
    }
}
