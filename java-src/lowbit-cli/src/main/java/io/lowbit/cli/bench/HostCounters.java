package io.lowbit.cli.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/** What the engine reads from the host: a clock, the compiler's work, heap allocation, others' load. Replaced in tests. */
public interface HostCounters {
    /** Where Linux tells how busy the processors are. */
    Path STAT = Path.of("/proc/stat");

    /** Nanoseconds from an arbitrary start. */
    long nanoTime();

    /** Time the compilers have spent, in milliseconds; 0 where the JVM does not tell. */
    long compileMillis();

    /** Bytes that all threads together have allocated on the heap. */
    long allocatedBytes();

    /**
     * Processor time that everything but this process has taken, a virtual machine's stolen time included, in
     * nanoseconds; 0 where the system does not tell.
     */
    long othersNanos();

    /** The JVM this runs in. */
    static HostCounters jvm() {
        CompilationMXBean compiler = ManagementFactory.getCompilationMXBean();
        boolean told = compiler != null && compiler.isCompilationTimeMonitoringSupported();
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
        return new HostCounters() {
            @Override
            public long nanoTime() {
                return System.nanoTime();
            }

            @Override
            public long compileMillis() {
                return told ? compiler.getTotalCompilationTime() : 0;
            }

            @Override
            public long allocatedBytes() {
                return threads.getTotalThreadAllocatedBytes();
            }

            @Override
            public long othersNanos() {
                return Files.isReadable(STAT) ? busyNanos(firstLine()) - system.getProcessCpuTime() : 0;
            }

            private String firstLine() {
                try (var lines = Files.lines(STAT)) {
                    return lines.findFirst().orElse("");
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        };
    }

    /**
     * Time that all processors together were busy, from the first line of {@code /proc/stat}: user, nice, system, idle,
     * iowait, irq, softirq, steal (and guest times, which user holds already) in hundredths of a second.
     */
    static long busyNanos(String cpu) {
        String[] fields = cpu.strip().split("\\s+");
        if (fields.length < 9 || !fields[0].equals("cpu")) {
            return 0;
        }
        long ticks = 0;
        for (int i : new int[] {1, 2, 3, 6, 7, 8}) {
            ticks += Long.parseLong(fields[i]);
        }
        return ticks * 10_000_000;
    }
}
