package io.lowbit.cli;

import io.lowbit.backend.Backends;
import io.lowbit.llm.LowbitVersion;
import io.lowbit.simd.Simd;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code lowbit info}: what this machine has, and for what cannot be used, why and the cure. */
@Command(name = "info", description = "JDK, CPU, memory, GPUs and backends of this machine, with the reason and cure of each refusal.")
final class InfoCommand implements Callable<Integer> {
    @Mixin
    private Output out;

    @Mixin
    private ThreadsOption threads;

    @Override
    public Integer call() throws Exception {
        Machine machine = Machine.read();
        List<Backends.Availability> backends = Backends.survey(new io.lowbit.backend.BackendOptions(threads.count()));

        out.line("lowbit     " + LowbitVersion.number());
        out.line("JDK        " + machine.jdk());
        out.line("OS         " + machine.os());
        out.line("CPU        " + machine.cpu() + ", " + machine.processors() + " processors for Lowbit");
        out.line("vectors    " + Simd.reason());
        out.line("memory     " + gib(machine.memoryBytes()) + " for this process, heap up to " + gib(machine.heapBytes()));
        if (machine.gpus().isEmpty()) {
            out.line("GPUs       none: " + machine.noGpu());
        }
        for (String gpu : machine.gpus()) {
            out.line("GPU        " + gpu);
        }
        for (Backends.Availability backend : backends) {
            out.line("backend    " + backend.name() + (backend.available() ? ": " : ": refused: ") + backend.detail());
        }
        for (String name : List.of("cuda", "cpu")) {
            if (backends.stream().noneMatch(b -> b.name().equals(name))) {
                out.line("backend    " + name + ": refused: " + absent(name));
            }
        }
        out.document(document(machine, backends));
        return 0;
    }

    private static String absent(String name) {
        return "this build of Lowbit has no " + name + " backend in its class path"
                + (name.equals("cuda") ? "; use --backend cpu" : "; build it whole with ./mvnw -DskipTests package");
    }

    private static Map<String, Object> document(Machine machine, List<Backends.Availability> backends) throws Exception {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("lowbit", LowbitVersion.number());
        document.put("jdk", machine.jdk());
        document.put("os", machine.os());
        document.put("cpu", machine.cpu());
        document.put("processors", machine.processors());
        document.put("vector_bits", Simd.width());
        document.put("vectors", Simd.reason());
        document.put("memory_bytes", machine.memoryBytes());
        document.put("heap_bytes", machine.heapBytes());
        document.put("gpus", machine.gpus());
        document.put("no_gpu", machine.noGpu());
        List<Object> list = new ArrayList<>();
        for (Backends.Availability backend : backends) {
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("name", backend.name());
            entry.put("available", backend.available());
            entry.put("detail", backend.detail());
            list.add(entry);
        }
        for (String name : List.of("cuda", "cpu")) {
            if (backends.stream().noneMatch(b -> b.name().equals(name))) {
                Map<String, Object> entry = new LinkedHashMap<>();
                entry.put("name", name);
                entry.put("available", false);
                entry.put("detail", absent(name));
                list.add(entry);
            }
        }
        document.put("backends", list);
        return document;
    }

    private static String gib(long bytes) {
        return String.format(java.util.Locale.ROOT, "%.1f GiB", bytes / (double) (1L << 30));
    }
}
