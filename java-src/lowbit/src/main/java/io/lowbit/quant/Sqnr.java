package io.lowbit.quant;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What quantizing a matrix cost, against its source. Sums in f64, each row in order and then the rows in order: the
 * same bits for any number of threads.
 *
 * @param signal Σw²
 * @param noise Σ(w − ŵ)²
 */
public record Sqnr(double signal, double noise) {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

    /**
     * Compares {@code matrix} with {@code weights}.
     *
     * @param weights {@code [N, K]}, F32, F16 or BF16
     * @throws IllegalArgumentException for another shape or type
     */
    public static Sqnr of(QuantizedMatrix matrix, Tensor weights) {
        return of(matrix, weights, Runtime.getRuntime().availableProcessors());
    }

    /** As {@link #of(QuantizedMatrix, Tensor)} on {@code threads} threads. */
    public static Sqnr of(QuantizedMatrix matrix, Tensor weights, int threads) {
        if (weights.shape().rank() != 2 || weights.dim(0) != matrix.n() || weights.dim(1) != matrix.k()) {
            throw new IllegalArgumentException(
                    "expected the source of a matrix [" + matrix.n() + ", " + matrix.k() + "], got shape " + weights.shape());
        }
        DType dtype = weights.dtype();
        if (dtype != DType.F32 && dtype != DType.F16 && dtype != DType.BF16) {
            throw new IllegalArgumentException("expected a source of F32, F16 or BF16, got " + dtype);
        }
        long k = matrix.k();
        double[] signals = new double[Math.toIntExact(matrix.n())];
        double[] noises = new double[signals.length];
        int usable = Dequantizer.threadsFor(matrix, threads, weights.data());
        Parallel.run(signals.length, k, 1, usable, (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                RowDecoder decoder = new RowDecoder(matrix, scratch);
                MemorySegment source = scratch.allocate(Math.max(1, 4 * k), Tensor.ALIGNMENT);
                MemorySegment decoded = scratch.allocate(Math.max(1, 4 * k), Tensor.ALIGNMENT);
                for (long r = from; r < to; r++) {
                    RowDecoder.load(weights.data(), r * k, dtype, source, 0, k);
                    decoder.decode(r, decoded, 0);
                    double signal = 0;
                    double noise = 0;
                    for (long c = 0; c < k; c++) {
                        double w = source.get(FLOAT, 4 * c);
                        double d = w - decoded.get(FLOAT, 4 * c);
                        signal += w * w;
                        noise += d * d;
                    }
                    signals[(int) r] = signal;
                    noises[(int) r] = noise;
                }
            }
        });
        double signal = 0;
        double noise = 0;
        for (int r = 0; r < signals.length; r++) {
            signal += signals[r];
            noise += noises[r];
        }
        return new Sqnr(signal, noise);
    }

    /** 10·log10(Σw² / Σ(w − ŵ)²): infinite without noise, NaN for a matrix of zeros. */
    public double decibels() {
        return signal == 0 ? Double.NaN : 10 * Math.log10(signal / noise);
    }

    /** ‖w − ŵ‖ / ‖w‖ in the Frobenius norm; NaN for a matrix of zeros. */
    public double relativeError() {
        return signal == 0 ? Double.NaN : Math.sqrt(noise / signal);
    }
}
