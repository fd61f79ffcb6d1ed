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
import io.lowbit.cli.bench.gpu.Agreement;
import io.lowbit.cli.bench.gpu.Forced;
import io.lowbit.cli.bench.gpu.GpuBench;
import io.lowbit.cli.bench.gpu.GpuJson;
import io.lowbit.cli.bench.gpu.GpuPlan;
import io.lowbit.cli.bench.gpu.GpuReport;
import io.lowbit.cli.bench.gpu.GpuResult;
import io.lowbit.cli.bench.gpu.GpuSheet;
import io.lowbit.cli.bench.gpu.GpuText;
import io.lowbit.cli.bench.gpu.KernelRanking;
import io.lowbit.cli.bench.gpu.TimingRule;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
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
    private static final List<Scheme> GPU_SCHEMES = List.of(
            new Scheme.Int4(Grouping.group(128), true),
            new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false),
            new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true),
            new Scheme.Mxfp4(),
            new Scheme.Nvfp4(),
            new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR),
            new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL),
            new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.block(128, 128)));
    private static final String CPU_SHAPES = "4096x4096,11008x4096";
    private static final String CPU_MS = "1,8,64,512";
    private static final int PROFILED = 10;

    @Spec
    private CommandSpec spec;

    @Mixin
    private Output out;

    @Mixin
    private BackendOption backendOption;

    @Mixin
    private SchemeOptions schemes;

    @Mixin
    private SheetOptions files;

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
            description = "Timed calls of a case: on the CPU at least (default 1), on a GPU at most about so long (default 1).")
    private Double seconds;

    @Option(
            names = "--runs",
            paramLabel = "N",
            description = "Timed calls (on a GPU: replays of a graph of calls) of a case, at least. Default: 30 on the CPU, 50 on a GPU.")
    private Integer runs;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "1", description = "Seed of all random data. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--profile",
            paramLabel = "CASE",
            description = "Run one case alone, for a profiler: CONTENDER/NxK/M as in the tables, for example \"int4 sym g128/4096x4096/16\". "
                    + "On a GPU its launches are not captured in a graph and nothing is timed.")
    private String profile;

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

        @Option(
                names = "--kernels",
                paramLabel = "GLOB",
                split = ",",
                description = "Time the kernels with such names too, each by itself wherever it makes the product, and say which is the fastest: "
                        + "what the table of kernels is made of. For example \"w4-few-*,w4-decode\".")
        private List<String> kernels = List.of();

        @Option(names = "--no-peers", description = "Do not time cuBLASLt.")
        private boolean noPeers;

        @Option(names = "--peers-only", description = "Time cuBLASLt alone.")
        private boolean peersOnly;

        @Option(
                names = "--activations",
                paramLabel = "quantized|within|native|both",
                description = "Activations: quantized to 8 bits beforehand where there is such a product, within the call that is timed, "
                        + "as they come, or beforehand and as they come."
                        + " Default: quantized.")
        private String activations = "quantized";

        @Option(
                names = "--rest",
                paramLabel = "S",
                description = "Leave the device alone so long before the replays of a case that may reach the power limit: sustained work lowers "
                        + "the clock. Default: 0.2.")
        private double rest = 0.2;

        @Option(names = "--apart", description = "Wait after each replay, so that the host's launch of the graph is in its time. Default: all replays are queued.")
        private boolean apart;

        @Option(
                names = "--cold",
                paramLabel = "MIB",
                description = "Weights, x and y of the launches of a replay together, at least (and five L2 caches). Default: 512.")
        private long coldMib = 512;

        @Option(
                names = "--against",
                paramLabel = "FILE",
                description = "Put another harness's figures of cuBLASLt through PyTorch beside the brief replays: CSV with the columns op, M, N, K, "
                        + "median_us.")
        private Path against;

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
        checkUsage();
        files.prepare();
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
            if (gpu.kernel != null || !gpu.kernels.isEmpty() || gpu.cublasLt != null || gpu.peersOnly) {
                throw new ParameterException(spec.commandLine(), "--kernel, --kernels, --cublaslt and --peers-only are for a GPU, and backend " + backend.name() + " was taken");
            }
            return onCpu(backend);
        }
    }

    /** Refuses wrong usage before a backend says that it was taken. */
    private void checkUsage() {
        try {
            if (profile != null) {
                ProfileCase.parse(profile);
            }
            shapes(CPU_SHAPES);
            list(SchemeNames.common());
            if (ms(CPU_MS).stream().anyMatch(m -> m < 1)) {
                throw new IllegalArgumentException("--m: expected rows of at least 1");
            }
            if (seconds != null && !(seconds > 0 && seconds < 1e6) || !(gpu.rest >= 0 && gpu.rest < 1e6)) {
                throw new IllegalArgumentException("--seconds and --rest: expected more than 0 and at least 0 seconds");
            }
            if (runs != null && (runs < 1 || runs > GemmPlan.MOST_RUNS)) {
                throw new IllegalArgumentException("--runs " + runs + ": expected 1 to " + GemmPlan.MOST_RUNS);
            }
            if (!List.of("quantized", "within", "native", "both").contains(gpu.activations)) {
                throw new IllegalArgumentException("--activations " + gpu.activations + ": expected quantized, within, native or both");
            }
            if (gpu.coldMib < 0 || gpu.coldMib > 1 << 20) {
                throw new IllegalArgumentException("--cold " + gpu.coldMib + ": expected 0 to " + (1 << 20) + " MiB");
            }
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage());
        }
    }

    private int onGpu(CudaBackend backend) throws Exception {
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
            plan = new GpuPlan(gpuSchemes(), shapes(GPU_SHAPES), ms(GPU_MS), type(Activations.bf16), library != null,
                    profile != null ? GpuPlan.Inputs.BOTH : GpuPlan.Inputs.valueOf(gpu.activations.toUpperCase(Locale.ROOT)), gpu.kernels.isEmpty(),
                    gpu.coldMib << 20, TimingRule.of(runs == null ? 50 : runs, seconds == null ? 1 : seconds, gpu.rest, gpu.apart), seed,
                    Forced.matching(backend.kernels().architecture(), gpu.kernels));
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage());
        }
        Agreement.Theirs theirs = gpu.against == null ? null : theirs();
        GpuReport report;
        QuantizeOptions options = schemes.options(backendOption.threads());
        if (profile != null) {
            try (GpuBench bench = new GpuBench(backend, library, peer, options)) {
                int launches = runs == null ? PROFILED : runs;
                String kernel = bench.profile(plan, profiled().contender(), launches);
                out.line(profile + ": " + launches + " launches of " + kernel);
            }
            return 0;
        }
        try (Progress progress = out.progress("bench", plan.size());
                GpuBench bench = new GpuBench(backend, library, peer, options)) {
            report = bench.run(plan, new GpuProgress(plan, new RunProgress(out::line, progress, files)));
        }
        out.line("");
        KernelRanking.lines(report).forEach(out::line);
        GpuText.notes(report).forEach(out::line);
        Map<String, Object> document = GpuJson.document(report);
        if (theirs != null) {
            agreement(report, theirs, document);
        }
        files.finish(GpuSheet.of(report), document, out);
        out.document(document);
        if (!report.right()) {
            throw wrong(report.results().stream().filter(GpuResult::wrong).count(), report.results().size());
        }
        return 0;
    }

    private Agreement.Theirs theirs() throws IOException {
        try {
            return Agreement.read(Files.readString(gpu.against));
        } catch (IllegalArgumentException e) {
            throw new CliException("bench gemm: " + gpu.against + ": " + e.getMessage(), e);
        }
    }

    private void agreement(GpuReport report, Agreement.Theirs theirs, Map<String, Object> document) {
        Agreement agreement = Agreement.of(report, theirs);
        out.line("");
        out.line("against " + gpu.against);
        agreement.text().forEach(out::line);
        document.put("agreement", agreement.document());
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
            report = bench.run(plan, new CpuProgress(plan, new RunProgress(out::line, progress, files)));
        }
        out.line("");
        ReportText.notes(report).forEach(out::line);
        Map<String, Object> document = ReportJson.document(report);
        files.finish(CpuSheet.of(report), document, out);
        out.document(document);
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
        double least = seconds == null ? 1 : seconds;
        Set<Regime> regimes = switch (cpu.where) {
            case dram -> EnumSet.of(Regime.DRAM);
            case l3 -> EnumSet.of(Regime.L3);
            case both -> EnumSet.allOf(Regime.class);
        };
        try {
            return new GemmPlan(cpuSchemes(), shapes(CPU_SHAPES), ms(CPU_MS), regimes, type(Activations.f32), least,
                    runs == null ? 30 : runs, Math.min(1, least), seed, sets);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage());
        }
    }

    private ProfileCase profiled() {
        try {
            return ProfileCase.parse(profile);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage());
        }
    }

    private List<Scheme> cpuSchemes() {
        return profile == null ? list(SchemeNames.common())
                : List.of(profiled().scheme().orElseThrow(() -> new ParameterException(spec.commandLine(), "--profile " + profile
                        + ": it needs a GPU, and backend cpu was taken")));
    }

    private List<Scheme> gpuSchemes() {
        return profile != null ? profiled().scheme().stream().toList()
                : gpu.peersOnly ? List.of()
                : list(GPU_SCHEMES);
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
        if (profile != null) {
            return List.of(profiled().shape());
        }
        return (shapes == null ? List.of(common.split(",")) : shapes).stream().map(GemmShape::parse).toList();
    }

    private List<Integer> ms(String common) {
        if (profile != null) {
            return List.of(profiled().m());
        }
        return ms == null ? Stream.of(common.split(",")).map(Integer::valueOf).toList() : ms;
    }

    private DType type(Activations common) {
        return DType.valueOf((dtype == null ? common : dtype).name().toUpperCase(Locale.ROOT));
    }
}
