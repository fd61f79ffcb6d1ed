package io.lowbit.cli;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What this process runs on.
 *
 * @param jdk version, VM and maker
 * @param os name, version and architecture
 * @param cpu the model's name as the system tells it
 * @param processors those this process may use
 * @param memoryBytes physical memory, or the container's limit
 * @param heapBytes the largest heap
 * @param gpus one line for each NVIDIA GPU that its driver shows
 * @param noGpu why {@code gpus} is empty, with the cure; null where it is not
 */
public record Machine(
        String jdk, String os, String cpu, int processors, long memoryBytes, long heapBytes, List<String> gpus, String noGpu) {
    private static final Path NVIDIA = Path.of("/proc/driver/nvidia");

    public static Machine read() throws IOException {
        long memory = ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean bean
                ? bean.getTotalMemorySize()
                : -1;
        List<String> gpus = findGpus();
        return new Machine(
                Runtime.version() + ", " + System.getProperty("java.vm.name") + ", " + System.getProperty("java.vendor"),
                System.getProperty("os.name") + " " + System.getProperty("os.version") + " " + System.getProperty("os.arch"),
                cpuModel(),
                Runtime.getRuntime().availableProcessors(),
                memory,
                Runtime.getRuntime().maxMemory(),
                gpus,
                gpus.isEmpty() ? whyNone() : null);
    }

    private static String cpuModel() throws IOException {
        Path cpuinfo = Path.of("/proc/cpuinfo");
        if (!Files.isReadable(cpuinfo)) {
            return System.getProperty("os.arch") + " (this system does not tell the model)";
        }
        try (var lines = Files.lines(cpuinfo)) {
            return lines.filter(line -> line.startsWith("model name"))
                    .map(line -> line.substring(line.indexOf(':') + 1).strip())
                    .findFirst()
                    .orElse(System.getProperty("os.arch") + " (the kernel does not tell the model)");
        }
    }

    /** What the kernel driver tells without any library: the model of each GPU and the driver's version. */
    private static List<String> findGpus() throws IOException {
        Path folder = NVIDIA.resolve("gpus");
        List<String> found = new ArrayList<>();
        if (!Files.isDirectory(folder)) {
            return found;
        }
        try (var entries = Files.newDirectoryStream(folder)) {
            for (Path entry : entries) {
                for (String line : Files.readAllLines(entry.resolve("information"))) {
                    if (line.startsWith("Model:")) {
                        found.add(line.substring("Model:".length()).strip() + " at " + entry.getFileName() + ", driver " + driverVersion());
                    }
                }
            }
        }
        return found;
    }

    private static String driverVersion() throws IOException {
        for (String line : Files.readAllLines(NVIDIA.resolve("version"))) {
            if (line.startsWith("NVRM version:")) {
                return line.substring("NVRM version:".length()).strip();
            }
        }
        return "of unknown version";
    }

    private static String whyNone() {
        return Files.exists(NVIDIA.resolve("version"))
                ? "the NVIDIA driver is loaded but shows no GPU; check nvidia-smi, and in a container start it with --gpus all"
                : "no NVIDIA kernel driver is loaded (" + NVIDIA + " is absent); with an NVIDIA GPU, install its driver, 525 or newer";
    }
}
