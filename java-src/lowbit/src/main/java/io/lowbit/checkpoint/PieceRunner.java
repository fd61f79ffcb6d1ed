package io.lowbit.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/**
 * Makes pieces on several threads and writes them. What is in memory at a time is bounded: a piece waits until the sum of
 * those at work leaves room for it; one larger than the bound works alone.
 */
final class PieceRunner {
    /** Bytes of input and output of the pieces at work. */
    static final long MEMORY = 768L << 20;
    private static final int UNIT = 1 << 20;

    private PieceRunner() {}

    /** Runs all; the first failure by position is thrown. */
    static void run(Checkpoint in, List<Piece> pieces, TensorFile to, int threads, Consumer<String> done) throws IOException {
        int units = (int) (MEMORY / UNIT);
        Semaphore room = new Semaphore(units, true);
        AtomicInteger next = new AtomicInteger();
        AtomicReference<Failure> failure = new AtomicReference<>();
        Runnable worker = () -> {
            for (int i = next.getAndIncrement(); i < pieces.size() && failure.get() == null; i = next.getAndIncrement()) {
                Piece piece = pieces.get(i);
                int permits = (int) Math.clamp(Math.ceilDiv(3 * piece.bytes(), (long) UNIT), 1, units);
                room.acquireUninterruptibly(permits);
                try (Arena arena = Arena.ofShared()) {
                    var tensors = piece.work().make(in.window(arena), arena);
                    for (var e : tensors.entrySet()) {
                        to.write(e.getKey(), e.getValue());
                    }
                } catch (IOException | RuntimeException | Error e) {
                    int at = i;
                    failure.accumulateAndGet(new Failure(at, e), (a, b) -> a == null || b.at < a.at ? b : a);
                    return;
                } finally {
                    room.release(permits);
                }
                synchronized (pieces) {
                    done.accept(piece.name());
                }
            }
        };
        Thread[] helpers = new Thread[Math.min(threads, pieces.size()) - 1 < 0 ? 0 : Math.min(threads, pieces.size()) - 1];
        for (int i = 0; i < helpers.length; i++) {
            helpers[i] = Thread.ofPlatform().name("lowbit-pieces-" + i).daemon().start(worker);
        }
        worker.run();
        boolean interrupted = false;
        for (Thread t : helpers) {
            while (true) {
                try {
                    t.join();
                    break;
                } catch (InterruptedException e) {
                    interrupted = true; // the workers write to a file that the caller may remove: wait for them first
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        if (failure.get() != null) {
            failure.get().rethrow();
        }
    }

    private record Failure(int at, Throwable cause) {
        void rethrow() throws IOException {
            switch (cause) {
                case UncheckedIOException e -> throw e.getCause();
                case IOException e -> throw e;
                case RuntimeException e -> throw e;
                case Error e -> throw e;
                default -> throw new AssertionError(cause);
            }
        }
    }
}
