package io.lowbit.cuda;

import io.lowbit.cuda.driver.Context;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** A few lanes for any number of callers; who comes when all are taken waits. */
final class Lanes implements AutoCloseable {
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition returned = lock.newCondition();
    private final Lane[] free;
    private int count;

    Lanes(Context context, int lanes) {
        free = new Lane[lanes];
        try {
            for (; count < lanes; count++) {
                free[count] = new Lane(context);
            }
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    Lane take() {
        lock.lock();
        try {
            while (count == 0) {
                returned.awaitUninterruptibly();
            }
            return free[--count];
        } finally {
            lock.unlock();
        }
    }

    void give(Lane lane) {
        lock.lock();
        try {
            free[count++] = lane;
            returned.signal();
        } finally {
            lock.unlock();
        }
    }

    /** Closes all; to be called when none is taken. */
    @Override
    public void close() {
        while (count > 0) {
            free[--count].close();
        }
    }
}
