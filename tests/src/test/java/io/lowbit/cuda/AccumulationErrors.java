package io.lowbit.cuda;

import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * What the accumulator of Hopper's FP8 tensor cores loses: the largest |y − y₆₄| / Σ|x||w| of FP8 products with y in F32, the figures of
 * {@link Accumulation}. A program: prints a line for each way to sum, K and kind of data. Seed 51.
 */
final class AccumulationErrors {
    private static final int M = 64;
    private static final int N = 256;

    private AccumulationErrors() {}

    public static void main(String[] args) {
        Gpu.require();
        String[] kernels = {"fp8_fast_128x128_s6", "fp8_precise_128x128_s6", "fp8_block_128x128_s6"};
        for (String kernel : kernels) {
            String table = "* fp8_* e4m3-*|e5m2-* * * * " + kernel + "\n* fp8_* e4m3-*|e5m2-* * * * w8a8\n";
            try (CudaBackend backend = Gpu.open(Architecture.SM90, KernelChoice.byTable(table))) {
                boolean block = kernel.contains("block");
                Scheme scheme = new Scheme.Fp8(Scheme.Fp8Format.E4M3, block ? Grouping.block(128, 128) : Grouping.CHANNEL);
                ActivationScaling scaling = block ? ActivationScaling.BLOCK128 : ActivationScaling.ROW;
                for (int k : new int[] {1024, 4096, 16384}) {
                    for (boolean positive : new boolean[] {false, true}) {
                        System.out.printf(Locale.ROOT, "%s K=%d %s: %.2e%n", kernel, k, positive ? "one sign" : "normal",
                                worst(backend, scheme, scaling, kernel.contains("fast") ? Accumulation.FAST : Accumulation.PRECISE, k, positive));
                    }
                }
            }
        }
    }

    private static double worst(CudaBackend backend, Scheme scheme, ActivationScaling scaling, Accumulation accumulation, int k, boolean positive) {
        try (Arena arena = Arena.ofShared()) {
            Tensor floats = numbers(arena, 51, positive, N, k);
            QuantizedMatrix w = Quantizer.quantize(floats, scheme, QuantizeOptions.DEFAULT, arena);
            Tensor x = numbers(arena, 52, positive, M, k);
            Tensor y = Tensor.allocate(arena, DType.F32, M, N);
            try (CudaLinear layer = backend.load(w)) {
                layer.forwardQuantized(x, y, scaling, accumulation);
            }
            double[][] weights = Products.weights(w);
            double[][] rows = W8a8GpuTest.quantized(x, scaling);
            return IntStream.range(0, M).parallel().mapToDouble(m -> {
                double most = 0;
                for (int n = 0; n < N; n++) {
                    double sum = 0;
                    double magnitude = 0;
                    for (int i = 0; i < k; i++) {
                        sum += rows[m][i] * weights[n][i];
                        magnitude += Math.abs(rows[m][i] * weights[n][i]);
                    }
                    most = Math.max(most, Math.abs(y.getFloat((long) m * N + n) - sum) / magnitude);
                }
                return most;
            }).max().orElseThrow();
        }
    }

    private static Tensor numbers(Arena arena, long seed, boolean positive, long... dims) {
        Tensor t = Schemes.normal(arena, DType.F32, seed, 1, dims);
        for (long i = 0; positive && i < t.elements(); i++) {
            t.setFloat(i, Math.abs(t.getFloat(i)));
        }
        return t;
    }
}
