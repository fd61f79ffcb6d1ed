package io.lowbit.cli;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.Backends;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code --backend} and {@code --threads}. Use as {@code @Mixin BackendOption backend}. */
public final class BackendOption {
    /** What may be asked for. */
    public enum Choice {
        auto,
        cpu,
        cuda
    }

    @Option(
            names = "--backend",
            paramLabel = "auto|cpu|cuda",
            defaultValue = "auto",
            description = "What computes: ${COMPLETION-CANDIDATES}. auto (default) takes the best that runs here and says which and why.")
    private Choice choice;

    @Mixin
    private ThreadsOption threads;

    /**
     * Opens the backend asked for; the caller closes it. {@code auto} says once, on standard error, what it took and
     * why.
     *
     * @throws io.lowbit.backend.BackendUnavailableException where it cannot run here
     */
    public Backend open(Output out) {
        Backends.Selection selection = Backends.open(choice.name(), options());
        if (choice == Choice.auto) {
            out.note("backend auto took " + selection.reason());
        }
        return selection.backend();
    }

    public BackendOptions options() {
        return new BackendOptions(threads.count());
    }

    public int threads() {
        return threads.count();
    }
}
