package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
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
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Products written in 8 bits: the codes of the same product in F32, within the stated bound of double precision, and what the next layer reads. */
@Tag("gpu")
class QuantizedOutputGpuTest {
    private static final List<Scheme.Fp8> SCHEMES = List.of(
            new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL), new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.block(128, 128)),
            new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.CHANNEL));

    private static final ActivationScaling[] OUTPUTS = {ActivationScaling.TENSOR, ActivationScaling.TENSOR_E5M2};

    /** {@code [N, K]}: N that no tile and no word divides, and one that words divide. */
    private static final long[][] SHAPES = {{131, 272}, {304, 400}};

    /** Every kernel that writes codes, each at M of its own in a table made for this test; y lies in memory full of NaN codes. */
    @ParameterizedTest(name = "{0}, seed 41")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void codesAreThoseOfTheSums(Architecture architecture) {
        List<ProductKernel> kernels = Catalogue.kernels(architecture).stream().filter(ProductKernel::writesCodes).toList();
        StringBuilder table = new StringBuilder();
        for (int i = 0; i < kernels.size(); i++) {
            for (int m : rows(i)) {
                table.append("* fp8_* e4m3-*|e5m2-* ").append(m).append(" * * ").append(kernels.get(i).name()).append('\n');
            }
        }
        int[] cases = new int[kernels.size()];
        int most = rows(kernels.size() - 1)[1];
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.byTable(table.toString())); Stream stream = Stream.open(backend.context())) {
            for (Scheme.Fp8 scheme : SCHEMES) {
                for (long[] shape : SHAPES) {
                    try (Arena arena = Arena.ofShared(); CudaLinear layer = backend.load(Schemes.quantized(arena, scheme, shape[0], shape[1], 41),
                            Schemes.normal(arena, DType.F32, 42, 1, shape[0]));
                            DeviceMemory dx = backend.context().allocate(2 * most * shape[1]);
                            DeviceMemory dy = backend.context().allocate(4 * most * shape[0]);
                            DeviceMemory activations = backend.context().allocate(layer.workspaceBytes(most));
                            DeviceMemory out = backend.context().allocate(layer.outputBytes(most))) {
                        Tensor x = Schemes.normal(arena, DType.BF16, 43, 3, most, shape[1]);
                        stream.upload(dx.address(), x.data(), x.data().byteSize());
                        for (ActivationScaling scaling : ActivationScaling.values()) {
                            for (int i = 0; i < kernels.size(); i++) {
                                ProductKernel kernel = kernels.get(i);
                                if (!kernel.supports(MatrixShape.plain(scheme, shape[0], shape[1]), DType.BF16, DType.BF16, scaling)) {
                                    continue;
                                }
                                int m = rows(i)[cases[i]++ % 2];
                                ActivationScaling outScaling = OUTPUTS[cases[i] % 3 / 2];
                                String what = architecture + " " + kernel.name() + " " + scheme.label() + " M=" + m + " x " + scaling.label() + " y "
                                        + outScaling.label();
                                layer.activations().quantize(stream, DeviceTensor.of(dx, DType.BF16, m, shape[1]), scaling, activations);
                                layer.multiply(stream, activations, DeviceTensor.of(dy, DType.F32, m, shape[0]), scaling, kernel.accumulation());
                                Tensor y = Tensor.allocate(arena, DType.F32, m, shape[0]);
                                stream.download(y.data(), dy.address(), y.data().byteSize());
                                stream.fill(out.address(), (byte) 0xff, out.bytes());
                                // y deviates by about 2.5: some of it saturates.
                                float s = outScaling == ActivationScaling.TENSOR ? 0.0123f : 0.000123f;
                                layer.multiplyQuantized(stream, activations, m, scaling, kernel.accumulation(), out, outScaling, s);
                                DeviceCodes codes = DeviceCodes.download(arena, stream, out, m, shape[0], outScaling, false);
                                Float8 format = DeviceCodes.format(outScaling);
                                assertEquals(s, codes.scale(m - 1, 0), what);
                                for (int row = 0; row < m; row++) {
                                    for (int col = 0; col < shape[0]; col++) {
                                        float v = y.getFloat(row * shape[0] + col);
                                        int expected = format.encode(v * (1f / s), Overflow.SATURATE);
                                        assertEquals(expected, codes.code(row, col), () -> what + ": " + v);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        for (int i = 0; i < kernels.size(); i++) {
            assertTrue(cases[i] >= 2, kernels.get(i).name() + ": " + cases[i] + " cases");
        }
    }

    /**
     * Two layers, the first with y in 8 bits: within the stated bound of y in double precision, and what the second makes of its codes
     * within the bound of the product with those codes. N = 131 leaves NaN codes between the rows, which nothing may read.
     */
    @ParameterizedTest(name = "{0}, seed 44")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void layersInEightBitsFollowEachOther(Architecture architecture) {
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.byTable()); Stream stream = Stream.open(backend.context())) {
            for (Accumulation accumulation : Accumulation.values()) {
                for (int n : new int[] {131, 272}) {
                    for (ActivationScaling between : OUTPUTS) {
                        chain(backend, stream, architecture + " " + accumulation + " N=" + n + " " + between.label(), accumulation, n, between);
                    }
                }
            }
        }
    }

    private static void chain(CudaBackend backend, Stream stream, String what, Accumulation accumulation, int n, ActivationScaling between) {
        Scheme.Fp8 scheme = new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL);
        int m = 70;
        int k = 400;
        int last = 48;
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix w1 = Schemes.quantized(arena, scheme, n, k, 44);
            QuantizedMatrix w2 = Schemes.quantized(arena, scheme, last, n, 45);
            Tensor bias = Schemes.normal(arena, DType.F32, 46, 1, n);
            Tensor x = Schemes.normal(arena, DType.BF16, 47, 3, m, k);
            try (CudaLinear first = backend.load(w1, bias); CudaLinear second = backend.load(w2);
                    DeviceMemory dx = backend.context().allocate(2L * m * k);
                    DeviceMemory dy = backend.context().allocate(4L * m * last);
                    DeviceMemory activations = backend.context().allocate(first.workspaceBytes(m));
                    DeviceMemory out = backend.context().allocate(first.outputBytes(m))) {
                stream.upload(dx.address(), x.data(), x.data().byteSize());
                stream.fill(out.address(), (byte) 0xff, out.bytes());
                first.activations().quantize(stream, DeviceTensor.of(dx, DType.BF16, m, k), ActivationScaling.ROW, activations);
                float s = between.e5m2() ? 0x1.9p-12f : 0x1.9p-5f;
                first.multiplyQuantized(stream, activations, m, ActivationScaling.ROW, accumulation, out, between, s);
                second.multiply(stream, out, DeviceTensor.of(dy, DType.F32, m, last), between, accumulation);
                DeviceCodes codes = DeviceCodes.download(arena, stream, out, m, n, between, false);
                Tensor y = Tensor.allocate(arena, DType.F32, m, last);
                stream.download(y.data(), dy.address(), y.data().byteSize());
                stream.synchronize();

                double[][] rows = W8a8GpuTest.quantized(x, ActivationScaling.ROW);
                double[][] weights = Products.weights(w1);
                double lost = first.kernel(m, DType.BF16, DType.BF16, ActivationScaling.ROW, accumulation).operandRounding(scheme, DType.BF16);
                double[][] middle = new double[m][n];
                double most = DeviceCodes.format(between).max() * (double) s;
                for (int row = 0; row < m; row++) {
                    for (int col = 0; col < n; col++) {
                        double sum = bias.getFloat(col);
                        double magnitude = Math.abs(sum);
                        for (int i = 0; i < k; i++) {
                            sum += rows[row][i] * weights[col][i];
                            magnitude += Math.abs(rows[row][i] * weights[col][i]);
                        }
                        double y64 = Math.clamp(sum, -most, most);
                        double bound = ((k + 2) * 0x1p-24 + lost) * magnitude * 1.1
                                + (between.e5m2() ? 0x1p-3 * Math.abs(y64) + 0x1p-17 * s : 0x1p-4 * Math.abs(y64) + 0x1p-10 * s);
                        middle[row][col] = codes.value(row, col);
                        double off = Math.abs(middle[row][col] - y64);
                        assertTrue(off <= bound, () -> what + ": y off by " + off + ", allowed " + bound);
                    }
                }
                Products.check(what, Products.weights(w2), middle, null, y,
                        second.kernel(m, DType.F32, DType.F32, between, accumulation).operandRounding(scheme, DType.F32));
            }
        }
    }

    private static int[] rows(int i) {
        return new int[] {1 + i, 101 + i};
    }
}
