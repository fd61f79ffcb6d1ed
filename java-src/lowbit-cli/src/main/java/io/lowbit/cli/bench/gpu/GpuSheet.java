package io.lowbit.cli.bench.gpu;

import io.lowbit.cli.bench.cublaslt.Operands;
import io.lowbit.cli.bench.sheet.Row;
import io.lowbit.cli.bench.sheet.Sheet;
import java.util.List;

/** A run on a GPU as plain rows. */
public final class GpuSheet {
    /** What {@link Row#set} says: the weights come from memory, not from a cache. */
    static final String SET = "cold";

    private GpuSheet() {}

    /** The rows; speed-ups are over cuBLASLt's BF16 where it was there. */
    public static Sheet of(GpuReport report) {
        List<Row> rows = report.results().stream().map(r -> row(report.limits(), r)).toList();
        String yardstick = GpuBench.peerName(Operands.BF16);
        return new Sheet(report.when(), report.device() + (report.driver() == null ? "" : ", driver " + report.driver()), GpuText.method(report),
                rows.stream().anyMatch(r -> r.timed() && r.name().equals(yardstick)) ? yardstick : null, rows);
    }

    private static Row row(DeviceLimits limits, GpuResult r) {
        if (!r.timed()) {
            return Row.untimed(r.name(), r.peer(), r.kernel(), r.shape().n(), r.shape().k(), r.m(), SET, r.reason());
        }
        Timing t = r.timing();
        return new Row(r.name(), r.peer(), r.kernel(), r.shape().n(), r.shape().k(), r.m(), SET, null, t.nanos().median(), t.nanos().min(),
                t.nanos().p95(), t.noise(), r.bytes(), limits.readBytes(), limits.flops(r.math()), r.math().name(),
                r.brief() == null ? Double.NaN : r.brief().timing().nanos().median(),
                r.after() == null || r.after().smMhz() < 0 ? Double.NaN : r.after().smMhz());
    }
}
