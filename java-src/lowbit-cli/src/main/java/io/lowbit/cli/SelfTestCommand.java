package io.lowbit.cli;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.Backends;
import io.lowbit.cli.selftest.GroupResult;
import io.lowbit.cli.selftest.SelfTest;
import io.lowbit.simd.Simd;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code lowbit selftest}: one line a group of cases; exit 1 where any fails. */
@Command(
        name = "selftest",
        description = "Check the formats against golden vectors, and products within their error bound on every backend this machine has.")
final class SelfTestCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private Output out;

    @Mixin
    private ThreadsOption threads;

    @Option(
            names = "--backend",
            paramLabel = "auto|cpu|cuda",
            defaultValue = "auto",
            description = "Which backends to test: ${COMPLETION-CANDIDATES}. auto (default) is every one that runs here.")
    private BackendOption.Choice choice;

    @Option(names = "--quick", description = "A sixth of the product cases, for tools that make kernels slow.")
    private boolean quick;

    @Option(
            names = "--only",
            paramLabel = "TEXT",
            split = ",",
            description = "Only the groups whose name contains one of these, a list: \"quantizers,int4 sym\".")
    private List<String> only = List.of();

    @Override
    public Integer call() throws Exception {
        BackendOptions options = new BackendOptions(threads.count());
        List<String> names = names(options);
        List<GroupResult> results = new ArrayList<>();
        List<String> groups = SelfTest.names(names).stream().filter(this::wanted).toList();
        if (groups.isEmpty()) {
            throw new ParameterException(spec.commandLine(), "--only " + String.join(",", only) + ": no group has such a name; the names are "
                    + "those that selftest prints");
        }
        out.line("formats in " + Simd.reason());
        try (Progress progress = out.progress("selftest", groups.size())) {
            SelfTest.formats(SelfTest::fromJar, this::wanted, r -> tell(r, results, progress));
            for (String name : names) {
                try (Backend backend = Backends.open(name, options).backend()) {
                    out.line("backend " + name + ": " + backend.description());
                    SelfTest.backend(SelfTest::fromJar, backend, quick, this::wanted, r -> tell(r, results, progress));
                }
            }
        }
        long failed = results.stream().filter(r -> !r.passed()).count();
        out.line("%d groups, %d cases: %s", results.size(), results.stream().mapToLong(GroupResult::checked).sum(),
                (failed == 0 ? "all passed" : failed + " groups FAILED") + (only.isEmpty() ? "" : ", of those asked for with --only"));
        out.document(document(results, names, failed == 0));
        if (failed > 0) {
            throw new CliException("selftest: " + failed + " of " + results.size() + " groups failed, the first: "
                    + results.stream().filter(r -> !r.passed()).findFirst().map(r -> r.group() + ": " + r.detail()).orElseThrow()
                    + "; do not trust results of this machine, and report it with the output of lowbit info");
        }
        return 0;
    }

    private boolean wanted(String group) {
        return only.isEmpty() || only.stream().anyMatch(group::contains);
    }

    /** The backends to test; those that auto leaves out are named with their reason. */
    private List<String> names(BackendOptions options) {
        if (choice != BackendOption.Choice.auto) {
            return List.of(choice.name());
        }
        List<String> names = new ArrayList<>();
        for (Backends.Availability backend : Backends.survey(options)) {
            if (backend.available()) {
                names.add(backend.name());
            } else {
                out.note("backend " + backend.name() + " is not tested: " + backend.detail());
            }
        }
        if (names.isEmpty()) {
            throw new CliException("selftest: no backend runs here; lowbit info says why");
        }
        return names;
    }

    private void tell(GroupResult result, List<GroupResult> results, Progress progress) {
        results.add(result);
        progress.clear();
        out.line((result.passed() ? "ok    " : "FAIL  ") + result.group() + ": " + result.detail());
        progress.step();
    }

    private static Map<String, Object> document(List<GroupResult> results, List<String> backends, boolean passed) {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("passed", passed);
        document.put("vectors", Simd.reason());
        document.put("backends", backends);
        List<Object> groups = new ArrayList<>();
        for (GroupResult result : results) {
            Map<String, Object> group = new LinkedHashMap<>();
            group.put("group", result.group());
            group.put("passed", result.passed());
            group.put("checked", result.checked());
            group.put("detail", result.detail());
            groups.add(group);
        }
        document.put("groups", groups);
        return document;
    }
}
