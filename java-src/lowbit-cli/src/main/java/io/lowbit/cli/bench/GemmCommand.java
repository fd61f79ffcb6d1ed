package io.lowbit.cli.bench;

import io.lowbit.backend.Backend;
import io.lowbit.cli.BackendOption;
import io.lowbit.cli.CliException;
import io.lowbit.cli.Output;
import io.lowbit.cli.Progress;
import io.lowbit.cli.SchemeNames;
import io.lowbit.cli.SchemeOptions;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code lowbit bench gemm}: times the products of a backend against the machine's limits. */
@Command(
        name = "gemm",
        description = {
            "Time y = x·Wᵀ for every scheme, shape and M, beside the machine's read bandwidth and FMA peak measured in the same run.",
            "Every case is checked against a reference product first and refused if wrong."
        })
final class GemmCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private Output out;

    @Mixin
    private BackendOption backendOption;

    @Mixin
    private SchemeOptions schemes;

    @Option(
            names = "--shape",
            paramLabel = "NxK",
            split = ",",
            defaultValue = "4096x4096,11008x4096",
            description = "Shapes of the weight matrix, a list. Default: ${DEFAULT-VALUE}.")
    private List<String> shapes;

    @Option(names = "--m", paramLabel = "M", split = ",", defaultValue = "1,8,64,512", description = "Rows of x, a list. Default: ${DEFAULT-VALUE}.")
    private List<Integer> ms;

    @Option(
            names = "--regime",
            paramLabel = "dram|l3|both",
            defaultValue = "both",
            description = "Where the weights come from: rotated through 1 GiB and more (dram), through a set that the shared L3 holds (l3), "
                    + "or both at M = 1 and dram above. Default: ${DEFAULT-VALUE}.")
    private Where where;

    @Option(names = "--dtype", paramLabel = "f32|bf16|f16", defaultValue = "f32", description = "Type of x and y. Default: ${DEFAULT-VALUE}.")
    private Activations dtype;

    @Option(names = "--seconds", paramLabel = "S", defaultValue = "1", description = "Timed calls of a case, at least. Default: ${DEFAULT-VALUE}.")
    private double seconds;

    @Option(names = "--runs", paramLabel = "N", defaultValue = "30", description = "Timed calls of a case, at least. Default: ${DEFAULT-VALUE}.")
    private int runs;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "1", description = "Seed of all random data. Default: ${DEFAULT-VALUE}.")
    private long seed;

    /** Values of {@code --regime}. */
    enum Where {
        dram,
        l3,
        both
    }

    /** Values of {@code --dtype}. */
    enum Activations {
        f32,
        bf16,
        f16
    }

    @Override
    public Integer call() throws Exception {
        SetSizes sets = SetSizes.of(CpuCaches.read(CpuCaches.SYSFS));
        GemmPlan plan = plan(sets);
        int threads = backendOption.threads();
        GemmReport report;
        try (Backend backend = backendOption.open(out)) {
            if (!backend.name().equals("cpu")) {
                throw new CliException("bench gemm: it cannot measure the limits of backend " + backend.name() + " yet; use --backend cpu");
            }
            QuantizeOptions options = schemes.options(threads);
            try (Limits limits = new CpuLimits(threads, sets);
                    Progress progress = out.progress("bench", plan.size())) {
                GemmBench bench = new GemmBench(backend, threads, limits, (weights, scheme, arena) ->
                        Quantizer.quantize(weights, scheme, options, arena), HostCounters.jvm());
                report = bench.run(plan, result -> progress.step(1, result.gemm().toString()));
            }
        }
        ReportText.print(report, out);
        out.document(ReportJson.document(report));
        if (!report.right()) {
            throw new CliException("bench gemm: " + report.results().stream().filter(GemmResult.Refused.class::isInstance).count()
                    + " of " + report.results().size() + " cases gave a wrong product and were not timed; run lowbit selftest and report it");
        }
        return 0;
    }

    private GemmPlan plan(SetSizes sets) {
        Set<Regime> regimes = switch (where) {
            case dram -> EnumSet.of(Regime.DRAM);
            case l3 -> EnumSet.of(Regime.L3);
            case both -> EnumSet.allOf(Regime.class);
        };
        List<Scheme> list = SchemeNames.common();
        if (schemes.given()) {
            list = schemes.all().stream()
                    .map(scheme -> scheme.orElseThrow(() -> new ParameterException(spec.commandLine(),
                            "--scheme none: nothing to load; take f32, f16 or bf16 for weights that are not quantized")))
                    .toList();
        }
        try {
            return new GemmPlan(list, shapes.stream().map(GemmShape::parse).toList(), ms, regimes,
                    DType.valueOf(dtype.name().toUpperCase(Locale.ROOT)), seconds, runs, Math.min(1, seconds), seed, sets);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage());
        }
    }
}
