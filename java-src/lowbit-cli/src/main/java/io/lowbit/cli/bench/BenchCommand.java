package io.lowbit.cli.bench;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code lowbit bench}: holds the benchmarks. */
@Command(name = "bench", description = "Benchmarks on this machine's own limits.", subcommands = {GemmCommand.class, QuantizersCommand.class})
public final class BenchCommand implements Runnable {
    @Spec
    private CommandSpec spec;

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "no benchmark given: expected gemm or quantize");
    }
}
