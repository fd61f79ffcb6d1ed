package io.lowbit.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;

/** One command run in this JVM, as a user's shell would see it. */
public record Cli(int exit, String out, String err) {
    public static Cli run(String... args) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        int exit = Lowbit.run(new PrintWriter(out, true), new PrintWriter(err, true), args);
        return new Cli(exit, out.toString(), err.toString());
    }

    public List<String> errLines() {
        return err.lines().toList();
    }
}
