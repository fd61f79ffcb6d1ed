package io.lowbit.cli;

import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;

/** How failures end: one line {@code lowbit: WHAT: WHY, and the cure} on standard error and an exit code. */
final class Failures {
    private Failures() {}

    /** Wrong usage: exit 2. */
    static int usage(ParameterException e) {
        CommandLine command = e.getCommandLine();
        String name = command.getCommandSpec().qualifiedName();
        String what = name.startsWith("lowbit ") ? name.substring("lowbit ".length()) : "usage";
        StringBuilder line = new StringBuilder("lowbit: " + what + ": " + oneLine(e.getMessage()));
        if (e instanceof CommandLine.UnmatchedArgumentException unmatched) {
            java.util.List<String> near = unmatched.getSuggestions();
            if (!near.isEmpty()) {
                line.append(" (did you mean ").append(String.join(" or ", near)).append("?)");
            }
        }
        command.getErr().println(line.append("; see ").append(name).append(" --help"));
        command.getErr().flush();
        return CommandLine.ExitCode.USAGE;
    }

    /** A command that could not do its work: exit 1. */
    static int failed(Throwable e, CommandLine command, boolean stacktrace) {
        command.getErr().println("lowbit: " + describe(e, command.getCommandSpec().name()));
        if (stacktrace) {
            e.printStackTrace(command.getErr());
        }
        command.getErr().flush();
        return CommandLine.ExitCode.SOFTWARE;
    }

    /** One line: what, why and the cure. */
    static String describe(Throwable e, String command) {
        return switch (e) {
            // The library's own messages already name the thing, the reason and the cure.
            case CliException _ -> oneLine(e.getMessage());
            case BackendUnavailableException _ -> (e.getMessage().startsWith("backend") ? "" : "backend: ") + oneLine(e.getMessage());
            case CheckpointException _ -> oneLine(e.getMessage());
            case IllegalArgumentException _ when e.getMessage() != null -> oneLine(e.getMessage());
            case IllegalStateException _ when e.getMessage() != null -> oneLine(e.getMessage());
            case NoSuchFileException f -> f.getFile() + ": no such file or folder; check the path";
            case AccessDeniedException f -> f.getFile() + ": permission denied; check its owner and mode";
            case FileAlreadyExistsException f -> f.getFile() + ": exists already; remove it or choose another name";
            case NotDirectoryException f -> f.getFile() + ": not a folder; give the folder that holds the model";
            case FileSystemException f when f.getFile() != null && f.getReason() != null ->
                f.getFile() + ": " + oneLine(f.getReason()) + "; free space or choose another place";
            case java.io.UncheckedIOException u -> describe(u.getCause(), command);
            case IOException _ -> command + ": " + oneLine(e.getMessage() == null ? e.toString() : e.getMessage())
                    + "; --stacktrace shows where";
            case OutOfMemoryError _ -> command + ": not enough memory (" + oneLine(e.getMessage())
                    + "); free some, or raise the heap with LOWBIT_JAVA_OPTS=-Xmx4g";
            case InternalError _ -> command + ": a mapped file could not be read (" + oneLine(e.getMessage())
                    + "); it was cut short or its disk failed while Lowbit read it: restore the file";
            default -> command + ": unexpected " + oneLine(e.toString())
                    + "; this is a fault of Lowbit: run again with --stacktrace and report it";
        };
    }

    private static String oneLine(String text) {
        return text == null ? "no message" : text.strip().replaceAll("\\s*\\R\\s*", "; ");
    }
}
