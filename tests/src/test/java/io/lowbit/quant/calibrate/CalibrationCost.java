package io.lowbit.quant.calibrate;

import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;

/**
 * Prints what calibrating a synthetic layer costs: {@code java … io.lowbit.quant.calibrate.CalibrationCost N K ROWS}. Arithmetic
 * of each step in units of its multiply-adds: moments ROWS·K²/2, factor K³/3 (Cholesky K³/6, inverse K³/6), GPTQ's updates
 * N·K²/2.
 */
public final class CalibrationCost {
    private CalibrationCost() {}

    public static void main(String[] args) {
        int n = Integer.parseInt(args[0]);
        int k = Integer.parseInt(args[1]);
        int rows = Integer.parseInt(args[2]);
        int threads = Runtime.getRuntime().availableProcessors();
        Scheme.Int4 scheme = new Scheme.Int4(Grouping.group(128), false);
        SplittableRandom random = new SplittableRandom(5);
        try (Arena arena = Arena.ofShared()) {
            Tensor w = random(arena, random, n, k);
            Hessian hessian = new Hessian(k);
            long start = System.nanoTime();
            for (int r = 0; r < rows; r += 512) {
                hessian.add(random(arena, random, Math.min(512, rows - r), k), threads);
            }
            double moments = seconds(start);
            start = System.nanoTime();
            int[] order = new int[k];
            for (int i = 0; i < k; i++) {
                order[i] = k - 1 - i;
            }
            double[][] h = hessian.ordered(order);
            for (int i = 0; i < k; i++) {
                h[i][i] += 0.02;
            }
            InverseFactor.of(h, threads);
            double factor = seconds(start);
            start = System.nanoTime();
            GptqResult result = Gptq.quantize(w, scheme, hessian, GptqOptions.DEFAULT, arena);
            double gptq = seconds(start);
            Runtime runtime = Runtime.getRuntime();
            System.out.printf("[%d, %d], %d rows, %d threads: moments %.1f s (%.1f G multiply-adds/s, with making the rows), factor %.1f s (%.1f G/s), GPTQ with its own factor "
                    + "%.1f s (walk %.1f G/s), heap in use %.0f MiB, loss %.4g%n", n, k, rows, threads, moments, 0.5e-9 * rows * k * k / moments, factor,
                    1e-9 / 3 * k * k * k / factor, gptq, 0.5e-9 * n * k * k / (gptq - factor), (runtime.totalMemory() - runtime.freeMemory()) / 1048576.0,
                    result.loss());
        }
    }

    private static Tensor random(Arena arena, SplittableRandom random, int rows, int k) {
        float[] values = new float[rows * k];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return Tensor.ofFloats(arena, values, rows, k);
    }

    private static double seconds(long start) {
        return (System.nanoTime() - start) * 1e-9;
    }
}
