package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.ProductCheck;
import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Locale;

/**
 * Holds y on the device to x·Wᵀ in f64: no element may be NaN (outputs are poisoned with NaN before), and a sample of rows
 * and columns, edges included, must keep the contender's tolerance.
 */
final class DeviceCheck implements AutoCloseable {
    private static final int ROWS = 16;
    private static final int COLUMNS = 192;

    private final BenchKernels kernels;
    private final Stream stream;
    private final long seed;
    private final long k;
    private final long[] columns;
    private final DeviceMemory weights;
    private final Buffer scratch;

    /**
     * Picks rows of the decoded weights.
     *
     * @param decoded F32 {@code [N, K]}: what the scheme's codes and scales stand for
     */
    DeviceCheck(Context context, BenchKernels kernels, Stream stream, DeviceTensor decoded, long seed) {
        this.kernels = kernels;
        this.stream = stream;
        this.seed = seed;
        this.k = decoded.shape().dim(1);
        this.columns = ProductCheck.sample(decoded.shape().dim(0), COLUMNS, seed);
        this.scratch = new Buffer(context);
        this.weights = context.allocate(4 * k * columns.length);
        for (int i = 0; i < columns.length; i++) {
            stream.copy(weights.address() + 4 * k * i, decoded.address() + 4 * k * columns[i], 4 * k);
        }
        stream.synchronize();
    }

    /** Looks for a NaN in the first {@code copies} of y, and holds copy {@code copy} to the reference. */
    ProductCheck.Verdict checkAll(Activations activations, int copies, int copy, Tolerance tolerance) {
        ProductCheck.Verdict nan = written(activations, 0, copies);
        return nan != null ? nan : compare(activations, copy, tolerance);
    }

    /** Holds copy {@code copy} of y to the reference; none of its elements may be NaN. */
    ProductCheck.Verdict check(Activations activations, int copy, Tolerance tolerance) {
        ProductCheck.Verdict nan = written(activations, copy, 1);
        return nan != null ? nan : compare(activations, copy, tolerance);
    }

    /** Null where no element of copies {@code from} and following of y is NaN. */
    private ProductCheck.Verdict written(Activations activations, int from, int count) {
        long words = scratch.reserve(8L * count);
        stream.fill(words, (byte) 0xff, 8L * count);
        for (int i = 0; i < count; i++) {
            kernels.firstNan(stream, activations.y(from + i), words + 8L * i);
        }
        stream.synchronize();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment host = arena.allocate(8L * count, 8);
            stream.download(host, words, 8L * count);
            stream.synchronize();
            for (int i = 0; i < count; i++) {
                long nan = host.getAtIndex(ValueLayout.JAVA_LONG, i);
                if (nan >= 0) {
                    return new ProductCheck.Verdict(Double.POSITIVE_INFINITY,
                            "y[" + nan / activations.n() + ", " + nan % activations.n() + "] is NaN or was not written");
                }
            }
            return null;
        }
    }

    private ProductCheck.Verdict compare(Activations activations, int copy, Tolerance tolerance) {
        long[] rows = ProductCheck.sample(activations.m(), ROWS, ~seed);
        int pairs = rows.length * columns.length;
        long listBytes = 8L * (rows.length + columns.length);
        long xBytes = 8 * k * rows.length;
        long lists = scratch.reserve(listBytes + xBytes + 24L * pairs);
        long picked = lists + listBytes;
        long out = picked + xBytes;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment host = arena.allocate(Math.max(listBytes, 24L * pairs), 8);
            for (int i = 0; i < rows.length; i++) {
                host.setAtIndex(ValueLayout.JAVA_LONG, i, rows[i]);
            }
            for (int i = 0; i < columns.length; i++) {
                host.setAtIndex(ValueLayout.JAVA_LONG, rows.length + i, columns[i]);
            }
            stream.upload(lists, host, listBytes);
            kernels.rows(stream, activations.x(copy), activations.codes(copy), activations.scales(copy), activations.width(), activations.int8(), lists, rows.length, picked);
            kernels.reference(stream, picked, weights.address(), k, lists, rows.length, lists + 8L * rows.length, columns.length,
                    activations.y(copy), out);
            stream.synchronize();
            stream.download(host, out, 24L * pairs);
            stream.synchronize();
            return verdict(host, rows, activations, tolerance);
        }
    }

    private ProductCheck.Verdict verdict(MemorySegment triples, long[] rows, Activations activations, Tolerance tolerance) {
        double worst = 0;
        double errorSquares = 0;
        double squares = 0;
        for (int i = 0; i < rows.length * columns.length; i++) {
            double exact = triples.getAtIndex(ValueLayout.JAVA_DOUBLE, 3L * i);
            double magnitude = triples.getAtIndex(ValueLayout.JAVA_DOUBLE, 3L * i + 1);
            double got = triples.getAtIndex(ValueLayout.JAVA_DOUBLE, 3L * i + 2);
            double error = Math.abs(got - exact);
            errorSquares += error * error;
            squares += exact * exact;
            if (tolerance.meanSquare() == 0) {
                double bound = ProductCheck.bound(k, tolerance.operandUnit(), exact, magnitude, activations.y(0).dtype());
                if (!(error <= bound)) {
                    return new ProductCheck.Verdict(error / bound, String.format(Locale.ROOT,
                            "y[%d, %d] = %.9g, the reference product is %.9g: error %.3g, bound %.3g", rows[i / columns.length],
                            columns[i % columns.length], got, exact, error, bound));
                }
                worst = Math.max(worst, bound == 0 ? 0 : error / bound);
            }
        }
        if (tolerance.meanSquare() > 0) {
            double part = squares == 0 ? 0 : Math.sqrt(errorSquares / squares);
            worst = part / tolerance.meanSquare();
            if (!(worst <= 1)) {
                return new ProductCheck.Verdict(worst, String.format(Locale.ROOT,
                        "the product is off by %.3g of itself (root of mean squares), expected at most %.3g", part, tolerance.meanSquare()));
            }
        }
        return new ProductCheck.Verdict(worst, null);
    }

    @Override
    public void close() {
        weights.close();
        scratch.close();
    }
}
