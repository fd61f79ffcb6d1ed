package io.lowbit.cli.bench;

import io.lowbit.cli.bench.gpu.GpuBench;
import io.lowbit.cli.bench.gpu.GpuJson;
import io.lowbit.cli.bench.gpu.GpuPlan;
import io.lowbit.cli.bench.gpu.GpuReport;
import io.lowbit.cli.bench.gpu.GpuResult;
import io.lowbit.cli.bench.gpu.GpuSheet;
import io.lowbit.cli.bench.gpu.GpuText;
import java.util.function.Supplier;

/** Shows a run on a GPU as it goes on. */
final class GpuProgress implements GpuBench.Listener {
    private final RunProgress run;
    private final double whole;
    private double spent;

    GpuProgress(GpuPlan plan, RunProgress run) {
        this.run = run;
        this.whole = plan.weight();
    }

    @Override
    public void began(GpuReport sofar) {
        run.print(GpuText.method(sofar));
    }

    @Override
    public void done(GpuResult result, Supplier<GpuReport> sofar) {
        spent += GpuPlan.weight(result.shape(), result.m());
        run.done(result.name() + " " + result.shape() + " M=" + result.m(), spent / whole, () -> files(sofar.get()));
    }

    @Override
    public void finished(GemmShape shape, GpuReport sofar) {
        run.finished(GpuText.shape(sofar, shape), files(sofar));
    }

    private static RunProgress.Sofar files(GpuReport report) {
        return new RunProgress.Sofar(GpuSheet.of(report), GpuJson.document(report));
    }
}
