package io.lowbit.quant;

import io.lowbit.format.Codecs;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** The matrix to quantize: {@code [N, K]} F32, F16 or BF16, its policy for non-finite weights applied. */
final class WeightSource {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final int INFINITY = 0x7f800000;
    private static final int SIGN = 0x80000000;

    private final Tensor weights;
    private final int threads;
    private final boolean dirty;
    private final boolean zeroNonFinite;
    private final long range;

    /**
     * Scans the matrix once for its range and for NaN and infinities.
     *
     * @throws NonFiniteWeightsException under {@link NonFinite#REJECT}
     */
    WeightSource(Tensor weights, NonFinite policy, int threads) {
        this.weights = weights;
        this.threads = threads;
        long raw = scan(false);
        this.dirty = nonFinite(raw);
        this.zeroNonFinite = dirty && policy == NonFinite.ZERO;
        if (dirty && policy == NonFinite.REJECT) {
            throw reject();
        }
        this.range = dirty ? scan(true) : raw;
    }

    long n() {
        return weights.dim(0);
    }

    long k() {
        return weights.dim(1);
    }

    int threads() {
        return threads;
    }

    /** Range of the whole matrix, in the encoding of {@link Codecs#range}, non-finite weights left out. */
    long range() {
        return range;
    }

    /** A reader for one worker; its scratch lives in {@code arena} and holds {@code capacity} weights. */
    Reader reader(Arena arena, long capacity) {
        return new Reader(arena, capacity);
    }

    /** Largest magnitude of a range. */
    static float absMax(long range) {
        return Float.intBitsToFloat(Math.max((int) (range >>> 32), (int) range));
    }

    /** Upper end of a range: the largest weight, at least 0. */
    static float high(long range) {
        return Float.intBitsToFloat((int) (range >>> 32));
    }

    /** Lower end of a range: the smallest weight, at most 0. */
    static float low(long range) {
        return -Float.intBitsToFloat((int) range);
    }

    /** The range that covers both. */
    static long union(long a, long b) {
        return (long) Math.max((int) (a >>> 32), (int) (b >>> 32)) << 32 | Math.max((int) a, (int) b);
    }

    /** Runs of weights as F32. */
    final class Reader {
        private final MemorySegment scratch;
        private final MemorySegment segment;

        private Reader(Arena arena, long capacity) {
            boolean direct = weights.dtype() == DType.F32 && !zeroNonFinite;
            scratch = direct ? null : arena.allocate(4 * capacity, Tensor.ALIGNMENT);
            segment = direct ? weights.data() : scratch;
        }

        /** The segment that {@link #load}'s offsets are in. */
        MemorySegment segment() {
            return segment;
        }

        /** Makes {@code count} weights from row-major index {@code from} readable as F32; their byte offset. */
        long load(long from, long count) {
            if (scratch == null) {
                return from << 2;
            }
            switch (weights.dtype()) {
                case F32 -> MemorySegment.copy(weights.data(), from << 2, scratch, 0, count << 2);
                case F16 -> Codecs.chosen().widenF16(weights.data(), from << 1, scratch, 0, count);
                default -> Codecs.chosen().widenBf16(weights.data(), from << 1, scratch, 0, count);
            }
            if (zeroNonFinite) {
                for (long i = 0; i < count; i++) {
                    if ((scratch.get(INT, i << 2) & ~SIGN) >= INFINITY) {
                        scratch.set(INT, i << 2, 0);
                    }
                }
            }
            return 0;
        }

        /** Range of {@code count} loaded weights at {@code offset}, non-finite ones left out. */
        long range(long offset, long count) {
            long all = Codecs.chosen().range(segment, offset, count);
            return dirty && nonFinite(all) ? finiteRange(segment, offset, count) : all;
        }
    }

    private static boolean nonFinite(long range) {
        return Math.max((int) (range >>> 32), (int) range) >= INFINITY;
    }

    private static long finiteRange(MemorySegment x, long offset, long count) {
        long range = 0;
        for (long i = 0; i < count; i++) {
            int u = x.get(INT, offset + (i << 2));
            if ((u & ~SIGN) < INFINITY) {
                range = union(range, u < 0 ? u ^ SIGN : (long) u << 32);
            }
        }
        return range;
    }

    private long scan(boolean finiteOnly) {
        AtomicInteger high = new AtomicInteger();
        AtomicInteger low = new AtomicInteger();
        rows((segment, offset, row) -> {
            long r = finiteOnly ? finiteRange(segment, offset, k()) : Codecs.chosen().range(segment, offset, k());
            high.accumulateAndGet((int) (r >>> 32), Math::max);
            low.accumulateAndGet((int) r, Math::max);
        });
        return (long) high.get() << 32 | low.get();
    }

    private NonFiniteWeightsException reject() {
        AtomicLong count = new AtomicLong();
        AtomicLong first = new AtomicLong(Long.MAX_VALUE);
        rows((segment, offset, row) -> {
            for (long c = 0; c < k(); c++) {
                if ((segment.get(INT, offset + (c << 2)) & ~SIGN) >= INFINITY) {
                    count.incrementAndGet();
                    first.accumulateAndGet(row * k() + c, Math::min);
                }
            }
        });
        long index = first.get();
        return new NonFiniteWeightsException(index / k(), index % k(), weights.getFloat(index), count.get());
    }

    private interface RowTask {
        void run(MemorySegment segment, long offset, long row);
    }

    private void rows(RowTask task) {
        Parallel.run(n(), k(), 1, threads, (from, to) -> {
            try (Arena arena = Arena.ofConfined()) {
                Reader reader = new Reader(arena, k());
                for (long row = from; row < to; row++) {
                    task.run(reader.segment(), reader.load(row * k(), k()), row);
                }
            }
        });
    }
}
