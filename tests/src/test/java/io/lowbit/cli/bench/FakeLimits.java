package io.lowbit.cli.bench;

import java.util.ArrayList;
import java.util.List;

/** Limits that are known, and a record of what was asked. */
final class FakeLimits implements Limits {
    final double bandwidth;
    final double flops;
    final List<Long> sets = new ArrayList<>();

    FakeLimits(double bandwidth, double flops) {
        this.bandwidth = bandwidth;
        this.flops = flops;
    }

    @Override
    public double readBandwidth(Regime regime, long setBytes) {
        sets.add(setBytes);
        return bandwidth;
    }

    @Override
    public double flops() {
        return flops;
    }

    @Override
    public String method() {
        return "known beforehand";
    }

    @Override
    public void close() {}
}
