package io.lowbit.cli.bench;

/**
 * What the hardware that a backend computes on can do at best, measured in the same run. One call is one short
 * sample; the engine takes several, between the timed calls.
 */
public interface Limits extends AutoCloseable {
    /** Bytes a second when {@code setBytes} bytes are read over and over. */
    double readBandwidth(Regime regime, long setBytes);

    /** F32 multiplications and additions a second, with the operands in registers. */
    double flops();

    /** How both are measured, in one line. */
    String method();

    @Override
    void close();
}
