package io.lowbit.cli.bench;

import java.util.function.Supplier;

/** Shows a run on the CPU as it goes on. */
final class CpuProgress implements GemmBench.Listener {
    private final RunProgress run;
    private final double cases;
    private long done;

    CpuProgress(GemmPlan plan, RunProgress run) {
        this.run = run;
        this.cases = plan.size();
    }

    @Override
    public void began(GemmReport sofar) {
        run.print(ReportText.method(sofar));
    }

    @Override
    public void done(GemmResult result, Supplier<GemmReport> sofar) {
        run.done(result.gemm().toString(), ++done / cases, () -> files(sofar.get()));
    }

    @Override
    public void finished(GemmShape shape, GemmReport sofar) {
        run.finished(ReportText.shape(sofar, shape), files(sofar));
    }

    private static RunProgress.Sofar files(GemmReport report) {
        return new RunProgress.Sofar(CpuSheet.of(report), ReportJson.document(report));
    }
}
