package io.lowbit;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Runs other programs for tests. */
public final class Programs {
    private Programs() {}

    /** What a program printed and its exit status. */
    public record Result(int exit, String out, String err) {}

    /** Runs {@code command} in {@code folder}. */
    public static Result run(Path folder, List<String> command) throws IOException, InterruptedException {
        return run(new ProcessBuilder(command).directory(folder.toFile()));
    }

    /** Runs {@code command} in {@code folder} with nothing in the environment but a PATH of the system's own tools. */
    public static Result runBare(Path folder, List<String> command) throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(command).directory(folder.toFile());
        builder.environment().clear();
        builder.environment().put("PATH", "/usr/bin:/bin");
        return run(builder);
    }

    private static Result run(ProcessBuilder builder) throws IOException, InterruptedException {
        // Standard error goes through a file: two pipes read in turn could fill up.
        Path err = Files.createTempFile("lowbit", ".err");
        try {
            Process process = builder.redirectError(err.toFile()).redirectInput(new java.io.File("/dev/null")).start();
            String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return new Result(process.waitFor(), out, Files.readString(err));
        } finally {
            Files.delete(err);
        }
    }
}
