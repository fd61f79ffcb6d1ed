package io.lowbit.cli.bench;

/** Where the weights of a timed case come from. */
public enum Regime {
    /** Rotated through copies that no cache holds: what decoding with a real model sees. */
    DRAM,
    /** Rotated through copies that the shared L3 holds and the L2 of the cores does not. */
    L3
}
