package io.lowbit.cli;

import java.io.PrintWriter;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The command line's entry: knows the subcommands and how a failure becomes one line and an exit code. */
@Command(
        name = "lowbit",
        description = "Low-bit linear algebra for large language models, on a CPU or an NVIDIA GPU.",
        mixinStandardHelpOptions = true,
        scope = ScopeType.INHERIT,
        versionProvider = Version.class,
        synopsisSubcommandLabel = "COMMAND",
        usageHelpAutoWidth = true,
        subcommands = {
            DemoCommand.class,
            InfoCommand.class,
            QuantizeCommand.class,
            io.lowbit.cli.calibrate.CompareCommand.class,
            io.lowbit.cli.calibrate.AdviseCommand.class,
            DequantizeCommand.class,
            ConvertCommand.class,
            VerifyCommand.class,
            InspectCommand.class,
            MatmulCommand.class,
            PerplexityCommand.class,
            GenerateCommand.class,
            io.lowbit.cli.bench.BenchCommand.class,
            SelfTestCommand.class,
        })
public final class Lowbit implements Runnable {
    @Spec
    private CommandSpec spec;

    @Option(
            names = "--stacktrace",
            scope = ScopeType.INHERIT,
            description = "On failure, print where it happened too.")
    private boolean stacktrace;

    /** Runs one command and ends the process with its exit code: 0 done, 1 failed, 2 wrong usage. */
    public static void main(String[] args) {
        System.exit(run(new PrintWriter(System.out, true), new PrintWriter(System.err, true), args));
    }

    /** Runs one command in this process, as {@link #main} does but without ending it; gives back the exit code. */
    public static int run(PrintWriter out, PrintWriter err, String... args) {
        Lowbit root = new Lowbit();
        CommandLine commandLine = new CommandLine(root)
                .setOut(out)
                .setErr(err)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setExpandAtFiles(false)
                .setParameterExceptionHandler((e, _) -> Failures.usage(e))
                .setExecutionExceptionHandler((e, command, _) -> Failures.failed(e, command, root.stacktrace));
        try {
            return commandLine.execute(args);
        } catch (OutOfMemoryError | InternalError e) {
            // Not Exceptions, so picocli lets them pass; both have a cure that a user can apply.
            return Failures.failed(e, commandLine, root.stacktrace);
        }
    }

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "no command given");
    }
}
