package io.lowbit.cli;

import java.io.PrintWriter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * Where a command's words go. Results go to standard output: text, or with {@code --json} one JSON document and
 * nothing else. What happens on the way (the backend chosen, defaults taken, progress) goes to standard error.
 *
 * <p>Use as {@code @Mixin Output out}.
 */
public final class Output {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec spec;

    @Option(names = "--json", description = "Print the result as one JSON document on standard output.")
    private boolean json;

    /** True where the result is to be a JSON document: call {@link #document} once, and {@link #line} does nothing. */
    public boolean json() {
        return json;
    }

    /** A line of the result; nothing with {@code --json}. */
    public void line(String text) {
        if (!json) {
            out().println(text);
            out().flush();
        }
    }

    /** Part of a line of the result, shown at once (streamed text); nothing with {@code --json}. */
    public void text(String part) {
        if (!json) {
            out().print(part);
            out().flush();
        }
    }

    /** {@code String.format} to a {@link #line}, in the root locale. */
    public void line(String format, Object... args) {
        line(String.format(java.util.Locale.ROOT, format, args));
    }

    /** The result as a table; nothing with {@code --json}. */
    public void table(Table table) {
        table.lines().forEach(this::line);
    }

    /**
     * The one JSON document of {@code --json}; nothing without it.
     *
     * @param value nested maps, lists, strings, numbers, booleans and nulls; NaN and infinities become null
     */
    public void document(Object value) {
        if (json) {
            out().println(Json.write(value));
            out().flush();
        }
    }

    /** A remark on standard error, for example a default that was taken. */
    public void note(String text) {
        err().println(text);
        err().flush();
    }

    /** A progress bar on standard error, shown only where that is a terminal. */
    public Progress progress(String what, long total) {
        return new Progress(err(), what, total, Terminal.standardErrorIsTerminal());
    }

    private PrintWriter out() {
        return spec.commandLine().getOut();
    }

    private PrintWriter err() {
        return spec.commandLine().getErr();
    }
}
