package io.lowbit.cli.bench;

/** A clock that only the fake backend moves, and counters under the test's control. */
final class FakeHost implements HostCounters {
    long now = 5_000;
    long compiled;
    long allocated;
    long others;

    @Override
    public long nanoTime() {
        return now;
    }

    @Override
    public long compileMillis() {
        return compiled;
    }

    @Override
    public long othersNanos() {
        return others;
    }

    @Override
    public long allocatedBytes() {
        return allocated;
    }
}
