package io.lowbit.cli.bench;

import io.lowbit.cli.bench.sheet.Row;
import io.lowbit.cli.bench.sheet.Sheet;
import java.util.List;
import java.util.Locale;

/** A run on the CPU as plain rows. */
final class CpuSheet {
    private CpuSheet() {}

    static Sheet of(GemmReport report) {
        List<Row> rows = report.results().stream().map(CpuSheet::row).toList();
        return new Sheet(report.when(), report.backend() + ": " + report.backendDescription() + "; " + report.threads() + " threads",
                ReportText.method(report), null, rows);
    }

    private static Row row(GemmResult result) {
        GemmCase gemm = result.gemm();
        String name = gemm.scheme().label();
        String set = gemm.regime().name().toLowerCase(Locale.ROOT);
        return switch (result) {
            case GemmResult.Refused r -> Row.untimed(name, false, null, gemm.shape().n(), gemm.shape().k(), gemm.m(), set, r.reason());
            case GemmResult.Skipped s -> Row.untimed(name, false, null, gemm.shape().n(), gemm.shape().k(), gemm.m(), set, s.reason());
            case GemmResult.Timed t -> new Row(name, false, null, gemm.shape().n(), gemm.shape().k(), gemm.m(), set, null, t.nanos().median(),
                    t.nanos().min(), t.nanos().p95(), t.noise(), t.storedBytes(), t.bandwidth().median(), t.flops().median(), "f32 FMA");
        };
    }
}
