package io.lowbit.cpu;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A fixed set of threads that share the chunks of one job at a time; the caller takes chunks too.
 *
 * <p>Handing 250 µs of work to a ForkJoinPool costs 60 µs; a spinning worker takes it over in less than 1 µs. Workers
 * spin {@link #SPIN_NANOS} after a job, then park. A worker that the system has descheduled holds up at most the chunk
 * it is in: the others take the rest.
 *
 * <p>Jobs from several threads, virtual ones too, run one after the other.
 */
final class WorkerPool implements AutoCloseable {
    /** What one job does: {@code slot} (0 is the caller) names the scratch that no other running chunk uses. */
    interface Job {
        void run(int chunk, int slot);
    }

    /** A job has at most this many chunks. */
    static final int MAX_CHUNKS = (1 << 20) - 1;

    private static final long SPIN_NANOS = 50_000;
    private static final int SPINS_PER_CLOCK = 64;
    private static final VarHandle TICKET;
    private static final VarHandle DONE;

    static {
        try {
            TICKET = MethodHandles.lookup().findVarHandle(WorkerPool.class, "ticket", long.class);
            DONE = MethodHandles.lookup().findVarHandle(WorkerPool.class, "done", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final ReentrantLock lock = new ReentrantLock();
    private final Worker[] workers;
    private final long spinNanos;

    /**
     * Which chunk comes next: epoch (24 bits), chunks of the job (20), next chunk (20). One compare-and-set takes a
     * chunk and proves that the job it belongs to still runs, so a late worker cannot touch the next job's fields.
     */
    private volatile long ticket;
    /** Finished chunks of the job that runs. */
    private volatile int done;
    private volatile boolean closed;
    private volatile Thread waiter;
    private volatile RuntimeException failure;
    private volatile Error error;
    private Job job;

    /** @param threads threads that compute, the caller's included */
    WorkerPool(int threads) {
        workers = new Worker[threads - 1];
        // Spinning only helps where every thread has a processor of its own.
        spinNanos = threads <= Runtime.getRuntime().availableProcessors() ? SPIN_NANOS : 0;
        for (int i = 0; i < workers.length; i++) {
            workers[i] = new Worker(i + 1);
            workers[i].start();
        }
    }

    /** Threads that compute, the caller's included: one more than the highest slot. */
    int threads() {
        return workers.length + 1;
    }

    /** Held by whoever runs jobs; also guards the scratch that jobs share. */
    ReentrantLock lock() {
        return lock;
    }

    /** A thread of the pool, to ask whether memory is accessible to it; null when the caller computes alone. */
    Thread anyWorker() {
        return workers.length == 0 ? null : workers[0];
    }

    /** Runs chunks 0 to {@code chunks − 1}, each once, and returns when all are done. The caller holds {@link #lock}. */
    void run(Job work, int chunks) {
        if (chunks > MAX_CHUNKS) {
            throw new IllegalArgumentException(chunks + " chunks: expected at most " + MAX_CHUNKS);
        }
        if (workers.length == 0 || chunks <= 1) {
            for (int i = 0; i < chunks; i++) {
                work.run(i, 0);
            }
            return;
        }
        job = work;
        done = 0;
        long epoch = (ticket >>> 40) + 1;
        ticket = epoch << 40 | (long) chunks << 20;
        for (Worker w : workers) {
            if (w.parked) {
                LockSupport.unpark(w);
            }
        }
        drain(0);
        await(chunks);
        job = null;
        if (error != null) {
            Error e = error;
            error = null;
            failure = null;
            throw e;
        }
        if (failure != null) {
            RuntimeException e = failure;
            failure = null;
            throw e;
        }
    }

    private void await(int chunks) {
        long start = 0;
        for (int spins = 0; done != chunks; spins++) {
            Thread.onSpinWait();
            if ((spins & (SPINS_PER_CLOCK - 1)) == SPINS_PER_CLOCK - 1) {
                long now = System.nanoTime();
                if (start == 0) {
                    start = now;
                } else if (now - start > spinNanos) {
                    waiter = Thread.currentThread();
                    while (done != chunks) {
                        LockSupport.park(this);
                    }
                    waiter = null;
                    return;
                }
            }
        }
    }

    private void drain(int slot) {
        for (long t = ticket; next(t) < chunks(t); t = ticket) {
            if (TICKET.compareAndSet(this, t, t + 1)) {
                try {
                    job.run(next(t), slot);
                } catch (RuntimeException e) {
                    failure = e;
                } catch (Error e) {
                    error = e;
                }
                int finished = (int) DONE.getAndAdd(this, 1) + 1;
                if (finished == chunks(t)) {
                    Thread w = waiter;
                    if (w != null) {
                        LockSupport.unpark(w);
                    }
                }
            }
        }
    }

    private static int next(long ticket) {
        return (int) ticket & MAX_CHUNKS;
    }

    private static int chunks(long ticket) {
        return (int) (ticket >>> 20) & MAX_CHUNKS;
    }

    /** Ends the threads. The caller holds no job. */
    @Override
    public void close() {
        closed = true;
        for (Worker w : workers) {
            LockSupport.unpark(w);
        }
    }

    private final class Worker extends Thread {
        private final int slot;
        private volatile boolean parked;

        Worker(int slot) {
            super("lowbit-cpu-" + slot);
            this.slot = slot;
            setDaemon(true);
        }

        @Override
        public void run() {
            while (!closed) {
                drain(slot);
                if (spin()) {
                    continue;
                }
                parked = true;
                if (idle() && !closed) {
                    LockSupport.park(WorkerPool.this);
                }
                parked = false;
            }
        }

        /** True as soon as there is work, false after {@link #SPIN_NANOS} without. */
        private boolean spin() {
            long start = System.nanoTime();
            for (int spins = 1; idle() && !closed; spins++) {
                Thread.onSpinWait();
                if ((spins & (SPINS_PER_CLOCK - 1)) == 0 && System.nanoTime() - start > spinNanos) {
                    return false;
                }
            }
            return true;
        }

        private boolean idle() {
            long t = ticket;
            return next(t) >= chunks(t);
        }
    }
}
