package io.lowbit.cli.bench;

import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;

/** What the engine reads from the JVM: a clock, the compiler's work and heap allocation. Replaced in tests. */
public interface HostCounters {
    /** Nanoseconds from an arbitrary start. */
    long nanoTime();

    /** Time the compilers have spent, in milliseconds; 0 where the JVM does not tell. */
    long compileMillis();

    /** Bytes that all threads together have allocated on the heap. */
    long allocatedBytes();

    /** The JVM this runs in. */
    static HostCounters jvm() {
        CompilationMXBean compiler = ManagementFactory.getCompilationMXBean();
        boolean told = compiler != null && compiler.isCompilationTimeMonitoringSupported();
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
        };
    }
}
