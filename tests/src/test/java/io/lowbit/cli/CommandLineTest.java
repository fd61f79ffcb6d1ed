package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.BackendUnavailableException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.NoSuchFileException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

@DisplayName("Command line: exit codes and one-line errors")
class CommandLineTest {
    @ParameterizedTest(name = "lowbit {0}")
    @ValueSource(strings = {"", "nonsense", "info --jsn", "info --threads 0", "info --threads x", "info surplus"})
    void wrongUsageExitsTwoWithOneLine(String line) {
        Cli run = Cli.run(line.isEmpty() ? new String[0] : line.split(" "));
        assertEquals(2, run.exit(), run.err());
        assertEquals(1, run.errLines().size(), run.err());
        assertTrue(run.err().startsWith("lowbit: "), run.err());
        assertTrue(run.err().contains("--help"), run.err());
        assertEquals("", run.out());
    }

    @Test
    void helpExitsZero() {
        Cli run = Cli.run("--help");
        assertEquals(0, run.exit());
        assertTrue(run.out().contains("info"), run.out());
        for (CommandLine command : new CommandLine(new Lowbit()).getSubcommands().values()) {
            String name = command.getCommandName();
            Cli help = Cli.run(name, "--help");
            assertEquals(0, help.exit(), name);
            assertTrue(help.out().startsWith("Usage: lowbit " + name), help.out());
        }
    }

    @Test
    void versionNamesLowbitAndTheJdk() {
        Cli run = Cli.run("--version");
        assertEquals(0, run.exit());
        assertTrue(run.out().matches("(?s)lowbit \\d+\\.\\d+\\.\\d+\\S*\\R.*JDK 2\\d.*"), run.out());
    }

    static Stream<Throwable> failures() {
        return Stream.of(
                new CliException("model: no config.json; give a Hugging Face folder"),
                new IllegalArgumentException("x: expected [3, 4], got [4, 3]\n and a second line"),
                new IllegalStateException("the backend is closed"),
                new BackendUnavailableException("backend cuda: no driver; install it"),
                new NoSuchFileException("/absent"),
                new IOException("disk\r\nfull"),
                new IOException((String) null),
                new OutOfMemoryError("Java heap space"),
                new NullPointerException(),
                new IllegalStateException());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("failures")
    void everyFailureIsOneLineWithoutStackTrace(Throwable failure) {
        StringWriter err = new StringWriter();
        CommandLine command = new CommandLine(new Lowbit()).setErr(new PrintWriter(err, true));
        assertEquals(1, Failures.failed(failure, command, false));
        assertEquals(1, err.toString().lines().count(), err.toString());
        assertTrue(err.toString().startsWith("lowbit: "), err.toString());
        assertFalse(err.toString().contains("\tat "), err.toString());
    }

    @Test
    void aBackendThatCannotRunIsNamed() {
        assertEquals("backend: no NVIDIA driver; install it", Failures.describe(new BackendUnavailableException("no NVIDIA driver; install it"), "demo"));
    }

    @Test
    void infoJsonIsOneDocumentThatNamesEveryBackend() {
        Cli run = Cli.run("info", "--json");
        assertEquals(0, run.exit(), run.err());
        io.lowbit.checkpoint.json.JsonObject document = io.lowbit.checkpoint.json.JsonReader.parseObject(run.out());
        assertEquals(2, document.list("backends").size());
        assertTrue(document.text("jdk").startsWith("2"), run.out());
    }

    @Test
    void stacktraceOptionShowsWhere() {
        StringWriter err = new StringWriter();
        CommandLine command = new CommandLine(new Lowbit()).setErr(new PrintWriter(err, true));
        assertEquals(1, Failures.failed(new IllegalStateException("closed"), command, true));
        assertTrue(err.toString().startsWith("lowbit: closed"), err.toString());
        assertTrue(err.toString().contains("\tat "), err.toString());
    }

    @Test
    void jsonDocumentIsEscaped() {
        assertEquals(
                "{\n  \"a\\n\\\"b\\\"\": [\n    1,\n    null,\n    null,\n    \"\\u0001é\\ud83d\\ude00\"\n  ],\n  \"t\": true\n}",
                Json.write(new java.util.TreeMap<>(java.util.Map.of(
                        "a\n\"b\"", java.util.Arrays.asList(1, null, Double.NaN, "\u0001é\ud83d\ude00"), "t", true))));
    }
}
