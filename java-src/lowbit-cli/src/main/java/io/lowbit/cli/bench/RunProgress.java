package io.lowbit.cli.bench;

import io.lowbit.cli.Progress;
import io.lowbit.cli.bench.sheet.Sheet;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Shows a run as it goes on: the method first, a table as soon as a shape is measured, and the files of cases every few
 * seconds, so that a run that is cut off leaves all but its last seconds.
 */
final class RunProgress {
    private static final long SAVE_NANOS = 5_000_000_000L;

    private final Consumer<String> out;
    private final Progress progress;
    private final SheetOptions files;
    private long saved = System.nanoTime();

    /** What there is so far, for the files. */
    record Sofar(Sheet sheet, Map<String, Object> document) {}

    /** @param out takes the lines of the result */
    RunProgress(Consumer<String> out, Progress progress, SheetOptions files) {
        this.out = out;
        this.progress = progress;
        this.files = files;
    }

    /** Lines that are known now. */
    void print(List<String> lines) {
        progress.clear();
        lines.forEach(out);
    }

    /** One more case: {@code part} of the whole work, 0 to 1, is done. */
    void done(String what, double part, Supplier<Sofar> sofar) {
        progress.step(1, part, what);
        if (files.keepsCases() && System.nanoTime() - saved > SAVE_NANOS) {
            save(sofar.get(), false);
        }
    }

    /** Every case of a shape. */
    void finished(List<String> table, Sofar sofar) {
        print(table);
        save(sofar, true);
    }

    private void save(Sofar sofar, boolean pages) {
        try {
            files.cases(sofar.sheet, sofar.document);
            if (pages) {
                files.pages(sofar.sheet);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        saved = System.nanoTime();
    }
}
