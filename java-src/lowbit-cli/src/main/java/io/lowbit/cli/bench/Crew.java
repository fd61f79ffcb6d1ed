package io.lowbit.cli.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntToDoubleFunction;

/** Threads that start a measurement together and sleep between measurements, so that they disturb nothing else. */
final class Crew implements AutoCloseable {
    private final int threads;
    private final ExecutorService pool;

    Crew(int threads) {
        this.threads = threads;
        this.pool = Executors.newFixedThreadPool(threads, Thread.ofPlatform().name("limits-", 0).daemon().factory());
    }

    int threads() {
        return threads;
    }

    /** Runs {@code work} with 0 .. threads−1, all at once, and adds up what it returns. */
    double sum(IntToDoubleFunction work) {
        AtomicInteger waiting = new AtomicInteger(threads);
        List<Future<Double>> parts = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            int index = i;
            parts.add(pool.submit(() -> {
                waiting.decrementAndGet();
                while (waiting.get() > 0) {
                    Thread.onSpinWait();
                }
                return work.applyAsDouble(index);
            }));
        }
        double total = 0;
        try {
            for (Future<Double> part : parts) {
                total += part.get();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("the measurement of the limits was interrupted; run it again", e);
        } catch (ExecutionException e) {
            throw new IllegalStateException("the measurement of the limits failed: " + e.getCause(), e.getCause());
        }
        return total;
    }

    @Override
    public void close() {
        pool.shutdownNow();
    }
}
