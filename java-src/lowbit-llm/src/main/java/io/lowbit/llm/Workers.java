package io.lowbit.llm;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Runs independent pieces of work on the caller and a fixed crew of daemon threads. Which thread takes which piece is
 * chance; no piece sees another's result, so the outcome is not.
 */
final class Workers implements AutoCloseable {
    /** One piece. {@code worker} (0 .. count−1) is never in use twice at a time: it may index scratch memory. */
    interface Piece {
        void run(int index, int worker);
    }

    private final int count;
    private final ExecutorService crew;

    Workers(int count) {
        this.count = count;
        this.crew = count == 1 ? null : Executors.newFixedThreadPool(count - 1,
                Thread.ofPlatform().daemon().name("lowbit-llm-", 1).factory());
    }

    int count() {
        return count;
    }

    /**
     * Runs pieces 0 .. pieces−1 and returns when all are done; the first failure is thrown.
     *
     * @param worthwhile false keeps them on the caller: waking the crew takes longer than they do
     */
    void run(int pieces, boolean worthwhile, Piece piece) {
        if (crew == null || pieces == 1 || !worthwhile) {
            for (int i = 0; i < pieces; i++) {
                piece.run(i, 0);
            }
            return;
        }
        AtomicInteger next = new AtomicInteger();
        List<Helper> helpers = new ArrayList<>(count - 1);
        for (int w = 1; w < Math.min(count, pieces); w++) {
            Helper helper = new Helper(next, pieces, piece, w);
            helpers.add(helper);
            crew.execute(helper);
        }
        try {
            take(next, pieces, piece, 0);
        } finally {
            next.set(pieces);
            helpers.forEach(Helper::join);
        }
    }

    private static void take(AtomicInteger next, int pieces, Piece piece, int worker) {
        for (int i = next.getAndIncrement(); i < pieces; i = next.getAndIncrement()) {
            piece.run(i, worker);
        }
    }

    /** A crew member's part in one run. */
    private static final class Helper extends FutureTask<Void> {
        private final AtomicBoolean begun = new AtomicBoolean();

        Helper(AtomicInteger next, int pieces, Piece piece, int worker) {
            super(() -> take(next, pieces, piece, worker), null);
        }

        @Override
        public void run() {
            if (begun.compareAndSet(false, true)) {
                super.run();
            }
        }

        /** Waits for the part's end; not for a thread that has not come to it yet: on a busy machine that takes long. */
        void join() {
            if (begun.compareAndSet(false, true)) {
                return;
            }
            boolean interrupted = false;
            while (true) {
                try {
                    get();
                    break;
                } catch (InterruptedException e) {
                    interrupted = true;
                } catch (ExecutionException e) {
                    switch (e.getCause()) {
                        case RuntimeException r -> throw r;
                        case Error error -> throw error;
                        default -> throw new IllegalStateException(e.getCause());
                    }
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    public void close() {
        if (crew != null) {
            crew.shutdown();
        }
    }
}
