package io.lowbit.quant;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/** Splits the work of quantizers over threads. Chunks do not depend on the number of threads, so neither do results. */
public final class Parallel {
    /** Weights that make a chunk worth a hand-off: some tenths of a millisecond. */
    private static final long CHUNK_ELEMENTS = 1 << 17;

    /** One chunk: units {@code from} (inclusive) to {@code to} (exclusive). */
    public interface Task {
        void run(long from, long to);
    }

    private record Failure(long from, RuntimeException cause) {}

    private Parallel() {}

    /**
     * Runs {@code task} over units 0..{@code count} in chunks of about {@link #CHUNK_ELEMENTS} weights. Where chunks
     * fail, the exception of the first one by position is thrown, whatever the number of threads.
     *
     * @param elementsPerUnit weights in a unit (a row, a block)
     * @param multiple chunks begin at multiples of this many units
     */
    public static void run(long count, long elementsPerUnit, long multiple, int threads, Task task) {
        long units = Math.max(1, CHUNK_ELEMENTS / Math.max(1, elementsPerUnit));
        long step = Math.ceilDiv(units, multiple) * multiple;
        long chunks = Math.ceilDiv(count, step);
        AtomicLong next = new AtomicLong();
        AtomicReference<Failure> failure = new AtomicReference<>();
        Runnable worker = () -> {
            for (long chunk = next.getAndIncrement(); chunk < chunks; chunk = next.getAndIncrement()) {
                long from = chunk * step;
                Failure seen = failure.get();
                if (seen != null && seen.from < from) {
                    return;
                }
                try {
                    task.run(from, Math.min(count, from + step));
                } catch (RuntimeException e) {
                    failure.accumulateAndGet(new Failure(from, e), (a, b) -> a == null || b.from < a.from ? b : a);
                }
            }
        };
        int helpers = (int) Math.min(threads, chunks) - 1;
        Thread[] started = new Thread[Math.max(0, helpers)];
        for (int i = 0; i < started.length; i++) {
            started[i] = Thread.ofPlatform().name("lowbit-quant-" + i).daemon().start(worker);
        }
        worker.run();
        boolean interrupted = false;
        for (Thread t : started) {
            while (true) {
                try {
                    t.join();
                    break;
                } catch (InterruptedException e) {
                    // the workers write into memory that the caller may free: wait for them first
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        if (failure.get() != null) {
            throw failure.get().cause;
        }
    }

    /** {@code threads}, or 1 where a segment belongs to a confined arena and only this thread may touch it. */
    public static int threadsFor(int threads, MemorySegment... segments) {
        if (threads > 1) {
            Thread other = Thread.ofPlatform().unstarted(() -> {});
            for (MemorySegment s : segments) {
                if (!s.isAccessibleBy(other)) {
                    return 1;
                }
            }
        }
        return threads;
    }
}
