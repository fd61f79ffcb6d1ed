package io.lowbit.cli.bench;

import io.lowbit.cli.Progress;
import io.lowbit.cli.bench.gpu.GpuBench;
import io.lowbit.cli.bench.gpu.GpuJson;
import io.lowbit.cli.bench.gpu.GpuPlan;
import io.lowbit.cli.bench.gpu.GpuReport;
import io.lowbit.cli.bench.gpu.GpuResult;
import io.lowbit.cli.bench.gpu.GpuSheet;
import io.lowbit.cli.bench.gpu.GpuText;
import io.lowbit.cli.bench.sheet.Sheet;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Shows a run on a GPU as it goes on: the method first, a table as soon as a shape is measured, and the files of cases every
 * few seconds, so that a run that is cut off leaves all but its last seconds.
 */
final class GpuProgress implements GpuBench.Listener {
    private static final long SAVE_NANOS = 5_000_000_000L;

    private final Consumer<String> out;
    private final Progress progress;
    private final SheetOptions files;
    private final double whole;
    private double spent;
    private long saved = System.nanoTime();

    /** @param out takes the lines of the result */
    GpuProgress(GpuPlan plan, Consumer<String> out, Progress progress, SheetOptions files) {
        this.whole = plan.weight();
        this.out = out;
        this.progress = progress;
        this.files = files;
    }

    @Override
    public void began(GpuReport sofar) {
        progress.clear();
        GpuText.method(sofar).forEach(out);
    }

    @Override
    public void done(GpuResult result, Supplier<GpuReport> sofar) {
        spent += GpuPlan.weight(result.shape(), result.m());
        progress.step(1, spent / whole, result.name() + " " + result.shape() + " M=" + result.m());
        if (files.keepsCases() && System.nanoTime() - saved > SAVE_NANOS) {
            save(sofar.get(), false);
        }
    }

    @Override
    public void finished(GemmShape shape, GpuReport sofar) {
        progress.clear();
        GpuText.shape(sofar, shape).forEach(out);
        save(sofar, true);
    }

    private void save(GpuReport sofar, boolean pages) {
        try {
            Sheet sheet = GpuSheet.of(sofar);
            files.cases(sheet, GpuJson.document(sofar));
            if (pages) {
                files.pages(sheet);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        saved = System.nanoTime();
    }
}
