package io.lowbit.quant;

import io.lowbit.format.Int4;
import io.lowbit.tensor.Half;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The 16 values (code − zero) · scale of one INT4 group.
 *
 * @param scale as stored: already rounded to the scheme's scale type
 * @param zero 0..15
 */
public record Int4Grid(float scale, int zero) {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    /** Losses are compared with the best so far once in so many weights. */
    private static final int LOSS_STEP = 64;

    /**
     * The grid over {@code range} shrunk to {@code part} of itself.
     *
     * @throws ArithmeticException where the scale overflows its type
     */
    static Int4Grid of(long range, double part, Scheme.Int4 scheme) {
        if (range == 0) {
            // all zeros: GPTQ takes −1..1
            return of(-1f, 1f, scheme);
        }
        return of(WeightSource.low(range), WeightSource.high(range), part, scheme);
    }

    /**
     * The grid over {@code low..high}, which holds 0, shrunk to {@code part} of itself; −1..1 where both are 0. Symmetric:
     * scale = absmax / 7.5, zero point 8; asymmetric: scale = (high − low) / 15.
     *
     * @throws ArithmeticException where the scale overflows its type
     */
    public static Int4Grid of(float low, float high, double part, Scheme.Int4 scheme) {
        if (low == 0 && high == 0) {
            return of(-1f, 1f, scheme);
        }
        float p = (float) part;
        if (scheme.symmetric()) {
            return new Int4Grid(round(Math.max(-low, high) * p / 7.5f, scheme), Int4.SYMMETRIC_ZERO);
        }
        return of(low * p, high * p, scheme);
    }

    private static Int4Grid of(float low, float high, Scheme.Int4 scheme) {
        float scale = round((high - low) / 15f, scheme);
        int zero = scheme.symmetric() ? Int4.SYMMETRIC_ZERO : Int4.encode(-low / scale, 0);
        return new Int4Grid(scale, zero);
    }

    /**
     * The grid of a scale as its type holds it: nearest, at least the smallest.
     *
     * @throws ArithmeticException where the scale overflows its type
     */
    public static Int4Grid rounded(float scale, int zero, Scheme.Int4 scheme) {
        return new Int4Grid(round(scale, scheme), zero);
    }

    private static float round(float scale, Scheme.Int4 scheme) {
        float rounded;
        float least;
        switch (scheme.scaleType()) {
            case F16 -> {
                rounded = Half.f16ToFloat(Half.floatToF16(scale));
                least = 0x1p-24f;
            }
            case BF16 -> {
                rounded = Half.bf16ToFloat(Half.floatToBf16(scale));
                least = Float.MIN_NORMAL;
            }
            default -> {
                rounded = scale;
                least = Float.MIN_NORMAL;
            }
        }
        if (Float.isInfinite(rounded)) {
            throw new ArithmeticException("scale overflow");
        }
        // below 2^-126 quotients by the scale would overflow or lose digits
        return Math.max(rounded, least);
    }

    /**
     * The grid of least loss among those that {@code clip} tries; the widest of equals. All losses are bounded from below
     * first; the powers themselves are computed for the least of the bounds, and where a bound leaves the comparison with that
     * one open.
     */
    static Int4Grid search(MemorySegment x, long offset, long count, long range, Scheme.Int4 scheme, ClipSearch clip) {
        if (range == 0) {
            return of(range, 1.0, scheme);
        }
        float[] weights = new float[Math.toIntExact(count)];
        MemorySegment.copy(x, FLOAT, offset, weights, 0, weights.length);
        Int4Grid[] grids = new Int4Grid[Math.max(1, (int) Math.ceil(clip.maxShrink() * clip.grid()))];
        double[] bounds = new double[grids.length];
        PowerBound power = PowerBound.of(clip.norm());
        int likely = 0;
        for (int i = 0; i < grids.length; i++) {
            grids[i] = of(range, 1.0 - (double) i / clip.grid(), scheme);
            bounds[i] = grids[i].bound(weights, power, i == 0 ? Double.POSITIVE_INFINITY : bounds[likely] * power.excess() * power.excess());
            likely = bounds[i] < bounds[likely] ? i : likely;
        }
        double near = grids[likely].loss(weights, clip.norm(), Double.POSITIVE_INFINITY);
        Int4Grid best = null;
        double least = Double.POSITIVE_INFINITY;
        for (int i = 0; i < grids.length; i++) {
            if (bounds[i] > 0 && bounds[i] >= near * power.excess()) {
                continue;
            }
            double loss = i == likely ? near : grids[i].loss(weights, clip.norm(), least);
            if (best == null || loss < least) {
                least = loss;
                best = grids[i];
            }
        }
        return best;
    }

    /**
     * The grid of least loss for {@code count} weights at the start of {@code x}, whose range is {@code low..high}.
     *
     * @throws ArithmeticException where the scale overflows its type
     */
    public static Int4Grid search(MemorySegment x, long count, float low, float high, Scheme.Int4 scheme, ClipSearch clip) {
        return search(x, 0, count, (long) Float.floatToRawIntBits(high + 0f) << 32 | Float.floatToRawIntBits(-low + 0f), scheme, clip);
    }

    /** As {@link #search} over a whole matrix, row by row. */
    static Int4Grid searchMatrix(WeightSource source, Scheme.Int4 scheme, ClipSearch clip) {
        Int4Grid best = null;
        double least = Double.POSITIVE_INFINITY;
        for (int i = 0; i < Math.max(1, clip.maxShrink() * clip.grid()); i++) {
            Int4Grid grid = of(source.range(), 1.0 - (double) i / clip.grid(), scheme);
            double loss = matrixLoss(source, grid, clip.norm());
            if (best == null || loss < least) {
                least = loss;
                best = grid;
            }
            if (source.range() == 0) {
                break;
            }
        }
        return best;
    }

    private static double matrixLoss(WeightSource source, Int4Grid grid, double norm) {
        double[] rows = new double[Math.toIntExact(source.n())];
        int k = Math.toIntExact(source.k());
        Parallel.run(rows.length, k, 1, source.threads(), (from, to) -> {
            try (Arena arena = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(arena, k);
                float[] row = new float[k];
                for (long r = from; r < to; r++) {
                    long offset = reader.load(r * k, k);
                    MemorySegment.copy(reader.segment(), FLOAT, offset, row, 0, k);
                    rows[(int) r] = grid.loss(row, norm, Double.POSITIVE_INFINITY);
                }
            }
        });
        // in row order: the sum does not depend on the threads
        double sum = 0;
        for (double row : rows) {
            sum += row;
        }
        return sum;
    }

    /** Σ|w − ŵ|^norm in order, given up as soon as it is {@code enough} or more. */
    private double loss(float[] weights, double norm, double enough) {
        double sum = 0;
        for (int from = 0; from < weights.length; from += LOSS_STEP) {
            int to = Math.min(weights.length, from + LOSS_STEP);
            for (int i = from; i < to; i++) {
                double d = Math.abs((double) weights[i] - nearest(weights[i]));
                sum += norm == 2.0 ? d * d : StrictMath.pow(d, norm);
            }
            if (sum >= enough) {
                break;
            }
        }
        return sum;
    }

    /** At most {@link PowerBound#excess} times {@link #loss}; a part of the sum as soon as it is {@code enough} or more. */
    private double bound(float[] weights, PowerBound power, double enough) {
        double sum = 0;
        for (int from = 0; from < weights.length; from += LOSS_STEP) {
            int to = Math.min(weights.length, from + LOSS_STEP);
            for (int i = from; i < to; i++) {
                sum += power.bound((double) weights[i] - nearest(weights[i]));
            }
            if (sum >= enough) {
                break;
            }
        }
        return sum;
    }

    /** {@code w} rounded to this grid: {@link Int4#decode} of {@link Int4#encode}, times the scale, without the code. */
    private float nearest(float w) {
        double code = Math.min(Math.max(Math.rint(w / scale), -zero), 15 - zero);
        return (float) code * scale;
    }
}
