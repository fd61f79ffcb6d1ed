package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.KernelFamily;
import io.lowbit.format.Float8;
import io.lowbit.format.Overflow;
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
    @ParameterizedTest(name = "{0}, seed 21")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void everyScalingKeepsTheBound(Architecture architecture) {
        long[][] shapes = {{1, 1}, {65, 127}, {130, 260}, {129, 513}};
        DType[] types = {DType.F32, DType.F16, DType.BF16};
        int cases = 0;
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always(KernelFamily.LINEAR))) {
            for (Scheme.Fp8Format format : Scheme.Fp8Format.values()) {
                for (Grouping grouping : new Grouping[] {Grouping.TENSOR, Grouping.CHANNEL, Grouping.block(128, 128), Grouping.block(64, 256)}) {
                    for (long[] shape : shapes) {
                        for (ActivationScaling scaling : ActivationScaling.values()) {
                            try (Arena arena = Arena.ofShared()) {
                                long m = new long[] {1, 3, 70}[cases % 3];
                                QuantizedMatrix w = Schemes.quantized(arena, new Scheme.Fp8(format, grouping), shape[0], shape[1], 21);
                                Tensor x = Schemes.normal(arena, types[cases % 3], 22 + cases, 3, m, shape[1]);
                                Tensor bias = cases % 2 == 0 ? null : Schemes.normal(arena, DType.F32, 23, 1, shape[0]);
                                Tensor y = Tensor.allocate(arena, types[cases / 2 % 3], m, shape[0]);
                                y.data().fill((byte) 0xff);
                                try (CudaLinear layer = backend.load(w, bias)) {
                                    layer.forwardQuantized(x, y, scaling);
                                }
                                Products.check(w + " M=" + m + " x " + x.dtype() + " scaled per " + scaling, Products.weights(w),
                                        quantized(x, scaling), bias, y);
                                cases++;
                            }
                        }
                    }
                }
            }
        }
        assertEquals(96, cases);
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
