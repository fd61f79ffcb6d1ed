package io.lowbit.cli.bench;

import io.lowbit.backend.Backend;
import io.lowbit.cli.BackendOption;
import io.lowbit.cli.CliException;
import io.lowbit.cli.Output;
import io.lowbit.cli.Table;
import io.lowbit.cli.bench.gpu.QuantizerBench;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.tensor.DType;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code lowbit bench quantize}: times what makes 8-bit activations on a GPU. */
@Command(
        name = "quantize",
        description = {
            "Time the quantizers of activations on a GPU, alone and fused with RMSNorm or SwiGLU's gate, beside a device copy of as many bytes, "
                    + "and together with the FP8 product [K, K] that follows (y in BF16; alone also with y in E4M3).",
            "Inputs are BF16 and cold. The codes are what the device tests compare bit for bit; nothing is checked here."
        })
final class QuantizersCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private Output out;

    @Mixin
    private BackendOption backendOption;

    @Option(names = "--m", paramLabel = "M", split = ",", defaultValue = "1,16,256,2048,8192", description = "Rows, a list. Default: ${DEFAULT-VALUE}.")
    private List<Integer> ms;

    @Option(names = "--k", paramLabel = "K", split = ",", defaultValue = "4096,8192",
            description = "Columns, a list of multiples of 128. Default: ${DEFAULT-VALUE}.")
    private List<Integer> ks;

    @Override
    public Integer call() {
        if (ms.stream().anyMatch(m -> m < 1) || ks.stream().anyMatch(k -> k < 128 || k % 128 != 0)) {
            throw new ParameterException(spec.commandLine(), "--m and --k: expected rows of at least 1 and columns that are multiples of 128");
        }
        try (Backend backend = backendOption.open(out)) {
            if (!(backend instanceof CudaBackend cuda)) {
                throw new CliException("bench quantize: backend " + backend.name() + " was taken, and only a GPU quantizes activations; there is nothing to time");
            }
            List<QuantizerBench.Result> results = new ArrayList<>();
            try (QuantizerBench bench = new QuantizerBench(cuda)) {
                bench.run(ms, ks, DType.BF16, results::add);
            }
            out.line(cuda.description());
            out.table(table(results));
            out.document(Map.of("device", cuda.description(), "results", results.stream().map(QuantizersCommand::document).toList()));
        }
        return 0;
    }

    /** Rows as text; times in microseconds. */
    static Table table(List<QuantizerBench.Result> results) {
        Table table = new Table("before", "scaling", ">M", ">K", ">us", ">GB/s", ">copy us", ">of copy", ">product us", ">both us", ">more us", ">y8 us");
        for (QuantizerBench.Result r : results) {
            boolean product = !Double.isNaN(r.productNanos());
            table.row(before(r), r.kind().scaling().label(), r.m(), r.k(), micros(r.nanos()), number("%.0f", r.bytes() / r.nanos()),
                    micros(r.copyNanos()), number("%.2f", r.copyNanos() / r.nanos()), product ? micros(r.productNanos()) : null,
                    product ? micros(r.bothNanos()) : null, product ? micros(r.bothNanos() - r.productNanos()) : null,
                    product ? micros(r.codesNanos()) : null);
        }
        return table;
    }

    private static String before(QuantizerBench.Result r) {
        return switch (r.kind().before()) {
            case NOTHING -> "-";
            case NORM -> "norm";
            case GATE -> "gate";
        };
    }

    private static String micros(double nanos) {
        return number("%.2f", nanos / 1000);
    }

    private static String number(String format, double value) {
        return String.format(Locale.ROOT, format, value);
    }

    private static Map<String, Object> document(QuantizerBench.Result r) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("before", before(r));
        map.put("scaling", r.kind().scaling().label());
        map.put("m", r.m());
        map.put("k", r.k());
        map.put("bytes", r.bytes());
        map.put("ns", r.nanos());
        map.put("copy_ns", r.copyNanos());
        map.put("product_ns", r.productNanos());
        map.put("both_ns", r.bothNanos());
        map.put("y8_ns", r.codesNanos());
        return map;
    }
}
