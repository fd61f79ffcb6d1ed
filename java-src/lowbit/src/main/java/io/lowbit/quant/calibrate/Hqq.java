package io.lowbit.quant.calibrate;

import io.lowbit.quant.Int4Grid;
import io.lowbit.quant.Parallel;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/**
 * Half-quadratic quantization (HQQ, Badri and Shaji 2023) for INT4: no calibration inputs. For each group the error
 * Σ|w − ŵ|^p, p &lt; 1, is split by an outlier part e: alternately e = shrink(w − ŵ) (the generalized soft threshold
 * sign(d)·max(0, |d| − |d|^(p−1)/β)) and the grid is refitted to w − e by least squares, while β grows.
 *
 * <p>HQQ keeps a real zero point; the checkpoint layouts of INT4 hold an integer one, so here the scale is refitted to the
 * rounded zero point each round. The round of least Σ|w − ŵ| wins, plain rounding being the first.
 */
public final class Hqq {
    private Hqq() {}

    /**
     * Quantizes one matrix.
     *
     * @param weights {@code [N, K]}, F32, F16 or BF16, finite
     * @throws IllegalArgumentException for other weights, or where a scale does not fit its type
     */
    public static QuantizedMatrix quantize(Tensor weights, Scheme.Int4 scheme, HqqOptions options, Arena arena) {
        if (weights.shape().rank() != 2) {
            throw new IllegalArgumentException("expected a weight matrix [N, K], got shape " + weights.shape());
        }
        int k = Math.toIntExact(weights.dim(1));
        Int4Codes out = new Int4Codes(weights.dim(0), k, scheme, arena);
        int size = out.groupSize();
        int threads = Parallel.threadsFor(options.threads(), weights.data(), out.codes().data());
        Parallel.run(weights.dim(0), 64L * k, 1, threads, (from, to) -> {
            HqqGroup group = new HqqGroup(scheme, options, size);
            float[] row = new float[k];
            float[] code = new float[1];
            for (long r = from; r < to; r++) {
                weights.readFloats(r * k, row, 0, k);
                for (int g = 0; g * size < k; g++) {
                    int first = g * size;
                    int count = Math.min(size, k - first);
                    Int4Grid grid = best(group, row, first, count, r);
                    for (int c = first; c < first + count; c++) {
                        code[0] = HqqGroup.code(row[c], grid.scale(), grid.zero());
                        out.column(r, 1, c, code);
                    }
                    out.grid(r, g, grid.scale(), grid.zero());
                }
            }
        });
        return out.matrix(null);
    }

    private static Int4Grid best(HqqGroup group, float[] row, int first, int count, long r) {
        try {
            return group.best(row, first, count);
        } catch (ArithmeticException e) {
            throw new IllegalArgumentException("row " + r + ", weights " + first + " to " + (first + count - 1) + ": " + e.getMessage()
                    + "; use F32 scales, or repair the weights", e);
        }
    }
}
