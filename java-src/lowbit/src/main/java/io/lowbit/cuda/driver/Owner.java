package io.lowbit.cuda.driver;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Something that is closed once. A second close does nothing; use after close is an {@link IllegalStateException}; what
 * is closed while in use is freed by its last user.
 */
public abstract class Owner implements AutoCloseable {
    private static final int CLOSED = 1 << 31;
    private static final VarHandle STATE;

    static {
        try {
            STATE = MethodHandles.lookup().findVarHandle(Owner.class, "state", int.class);
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    private final String what;
    /** Users, and the sign bit once closed. */
    private volatile int state;

    /**
     * @param what the name of the thing in messages, for example {@code the CUDA stream}
     */
    protected Owner(String what) {
        this.what = what;
    }

    /**
     * Counts one user in; {@link #release} counts it out.
     *
     * @throws IllegalStateException when closed
     */
    public final void acquire() {
        while (true) {
            int s = state;
            if (s < 0) {
                throw new IllegalStateException(what + " is closed");
            }
            if (STATE.compareAndSet(this, s, s + 1)) {
                return;
            }
        }
    }

    /** Counts one user out. */
    public final void release() {
        if ((int) STATE.getAndAdd(this, -1) == (CLOSED | 1)) {
            free();
        }
    }

    /** @throws IllegalStateException when closed */
    protected final void requireOpen() {
        if (state < 0) {
            throw new IllegalStateException(what + " is closed");
        }
    }

    /** True once {@link #close} was called. */
    public final boolean isClosed() {
        return state < 0;
    }

    @Override
    public final void close() {
        int before = (int) STATE.getAndBitwiseOr(this, CLOSED);
        if (before < 0) {
            return;
        }
        closing();
        if (before == 0) {
            free();
        }
    }

    /** Called once by the first close, before {@link #free}, while users may still be counted in: to close those. */
    protected void closing() {}

    /** Gives the resource back; called once, after the last user. */
    protected abstract void free();
}
