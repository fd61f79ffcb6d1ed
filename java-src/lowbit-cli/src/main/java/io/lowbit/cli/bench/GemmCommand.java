package io.lowbit.cli.bench;

import io.lowbit.backend.Backend;
import io.lowbit.cli.BackendOption;
import io.lowbit.cli.CliException;
import io.lowbit.cli.Output;
import io.lowbit.cli.Progress;
import io.lowbit.cli.SchemeNames;
import io.lowbit.cli.SchemeOptions;
import io.lowbit.cli.bench.cublaslt.CublasLtLibrary;
import io.lowbit.cli.bench.cublaslt.CublasLtMissingException;
import io.lowbit.cli.bench.gpu.GpuBench;
import io.lowbit.cli.bench.gpu.GpuJson;
import io.lowbit.cli.bench.gpu.GpuPlan;
import io.lowbit.cli.bench.gpu.GpuReport;
import io.lowbit.cli.bench.gpu.GpuResult;
import io.lowbit.cli.bench.gpu.GpuText;
import io.lowbit.cli.bench.gpu.TimingRule;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.ArgGroup;
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
            "Time y = x·Wᵀ for every scheme, shape and M: on a GPU beside cuBLASLt and the device's read bandwidth and peaks, on the CPU beside "
                    + "its read bandwidth and FMA peak, all measured in the same run.",
            "Every case is checked against a reference product first and refused if wrong."
        })
final class GemmCommand implements Callable<Integer> {
    private static final String GPU_SHAPES = "4096x4096,11008x4096,4096x11008,8192x8192,28672x8192,8192x28672";
    private static final String GPU_MS = "1,4,16,64,256,2048,8192";
    private static final String CPU_SHAPES = "4096x4096,11008x4096";
    private static final String CPU_MS = "1,8,64,512";

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
            description = "Shapes of the weight matrix, a list. Default: on a GPU " + GPU_SHAPES + "; on the CPU " + CPU_SHAPES + ".")
    private List<String> shapes;

    @Option(
            names = "--m",
            paramLabel = "M",
            split = ",",
            description = "Rows of x, a list. Default: on a GPU " + GPU_MS + "; on the CPU " + CPU_MS + ".")
    private List<Integer> ms;

    @Option(names = "--dtype", paramLabel = "f32|bf16|f16", description = "Type of x and y. Default: bf16 on a GPU, f32 on the CPU.")
    private Activations dtype;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "1",
            description = "Timed calls of a case: on the CPU at least, on a GPU at most about so long. Default: ${DEFAULT-VALUE}.")
    private double seconds;

    @Option(
            names = "--runs",
            paramLabel = "N",
            description = "Timed calls (on a GPU: replays of a graph of calls) of a case, at least. Default: 30 on the CPU, 50 on a GPU.")
    private Integer runs;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "1", description = "Seed of all random data. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @ArgGroup(exclusive = false, heading = "%nOn the CPU%n")
    private CpuOptions cpu = new CpuOptions();

    @ArgGroup(exclusive = false, heading = "%nOn a GPU%n")
    private GpuOptions gpu = new GpuOptions();

    /** What only the CPU has. */
    static final class CpuOptions {
        @Option(
                names = "--regime",
                paramLabel = "dram|l3|both",
                defaultValue = "both",
                description = "Where the weights come from: rotated through 1 GiB and more (dram), through a set that the shared L3 holds (l3), "
                        + "or both at M = 1 and dram above. Default: ${DEFAULT-VALUE}.")
        private Where where = Where.both;
    }

    /** What only a GPU has. */
    static final class GpuOptions {
        @Option(names = "--kernel", paramLabel = "NAME", description = "Use this kernel wherever it supports the product.")
        private String kernel;

        @Option(names = "--no-peers", description = "Do not time cuBLASLt.")
        private boolean noPeers;

        @Option(names = "--cublaslt", paramLabel = "FILE", description = "libcublasLt.so.12 or .13. Default: looked for by name, in CUDA toolkits and beside each Python.")
        private Path cublasLt;
    }

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
        try (Backend backend = backendOption.open(out)) {
            if (backend instanceof CudaBackend cuda) {
                if (gpu.kernel == null) {
                    return onGpu(cuda);
                }
                KernelChoice choice = KernelChoice.always(gpu.kernel);
                try (CudaBackend forced = CudaBackend.open(cuda.context().device().ordinal(), null, choice)) {
                    return onGpu(forced);
                }
            }
            if (gpu.kernel != null || gpu.cublasLt != null) {
                throw new ParameterException(spec.commandLine(), "--kernel and --cublaslt are for a GPU, and backend " + backend.name() + " was taken");
            }
            return onCpu(backend);
        }
    }

    private int onGpu(CudaBackend backend) {
        CublasLtLibrary library = null;
        String peer;
        try {
            library = gpu.noPeers ? null : CublasLtLibrary.find(gpu.cublasLt);
            peer = gpu.noPeers ? "not asked for" : library.toString();
        } catch (CublasLtMissingException e) {
            peer = e.getMessage();
        }
        GpuPlan plan;
        try {
            plan = new GpuPlan(schemes.given() ? schemes.all().stream().flatMap(Optional::stream).toList() : SchemeNames.common(), shapes(GPU_SHAPES), ms(GPU_MS), type(Activations.bf16), library != null, true,
                    TimingRule.of(runs == null ? 50 : runs, seconds), seed);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage());
        }
        GpuReport report;
        QuantizeOptions options = schemes.options(backendOption.threads());
        try (Progress progress = out.progress("bench", plan.size());
                GpuBench bench = new GpuBench(backend, library, peer, (weights, scheme, arena) -> Quantizer.quantize(weights, scheme, options, arena))) {
            report = bench.run(plan, result -> progress.step(1, result.name() + " " + result.shape() + " M=" + result.m()));
        }
        GpuText.print(report, out);
        out.document(GpuJson.document(report));
        if (!report.right()) {
            throw wrong(report.results().stream().filter(GpuResult::wrong).count(), report.results().size());
        }
        return 0;
    }

    private int onCpu(Backend backend) throws Exception {
        SetSizes sets = SetSizes.of(CpuCaches.read(CpuCaches.SYSFS));
        GemmPlan plan = cpuPlan(sets);
        int threads = backendOption.threads();
        GemmReport report;
        QuantizeOptions options = schemes.options(threads);
        try (Limits limits = new CpuLimits(threads, sets);
                Progress progress = out.progress("bench", plan.size())) {
            GemmBench bench = new GemmBench(backend, threads, limits, (weights, scheme, arena) ->
                    Quantizer.quantize(weights, scheme, options, arena), HostCounters.jvm());
            report = bench.run(plan, result -> progress.step(1, result.gemm().toString()));
        }
        ReportText.print(report, out);
        out.document(ReportJson.document(report));
        if (!report.right()) {
            throw wrong(report.results().stream().filter(GemmResult.Refused.class::isInstance).count(), report.results().size());
        }
        return 0;
    }

    private static CliException wrong(long wrong, long all) {
        return new CliException("bench gemm: " + wrong + " of " + all
                + " cases gave a wrong product and were not timed; run lowbit selftest and report it");
    }

    private GemmPlan cpuPlan(SetSizes sets) {
        Set<Regime> regimes = switch (cpu.where) {
            case dram -> EnumSet.of(Regime.DRAM);
            case l3 -> EnumSet.of(Regime.L3);
            case both -> EnumSet.allOf(Regime.class);
        };
        try {
            return new GemmPlan(list(SchemeNames.common()), shapes(CPU_SHAPES), ms(CPU_MS), regimes, type(Activations.f32), seconds,
                    runs == null ? 30 : runs, Math.min(1, seconds), seed, sets);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage());
        }
    }

    private List<Scheme> list(List<Scheme> common) {
        if (!schemes.given()) {
            return common;
        }
        return schemes.all().stream()
                .map(scheme -> scheme.orElseThrow(() -> new ParameterException(spec.commandLine(),
                        "--scheme none: nothing to load; take f32, f16 or bf16 for weights that are not quantized")))
                .toList();
    }

    private List<GemmShape> shapes(String common) {
        return (shapes == null ? List.of(common.split(",")) : shapes).stream().map(GemmShape::parse).toList();
    }

    private List<Integer> ms(String common) {
        return ms == null ? Stream.of(common.split(",")).map(Integer::valueOf).toList() : ms;
    }

    private DType type(Activations common) {
        return DType.valueOf((dtype == null ? common : dtype).name().toUpperCase(Locale.ROOT));
    }
}
