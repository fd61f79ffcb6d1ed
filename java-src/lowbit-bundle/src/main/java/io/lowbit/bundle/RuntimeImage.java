package io.lowbit.bundle;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.spi.ToolProvider;

/** The Java run time of the bundle: what jlink cuts out of the JDK that runs the build. */
final class RuntimeImage {
    /** Everything that the command line, its libraries on the paths it takes, and the tests use; java.base is implied. */
    static final Set<String> MODULES = new TreeSet<>(Set.of(
            "java.base",
            "jdk.incubator.vector",
            // allocation and load figures: info, bench and the allocation tests
            "java.management", "jdk.management",
            // JUnit logs through java.util.logging
            "java.logging",
            // sun.misc.Unsafe, which Gson and JNA (both in the tokenizer's library) ask for
            "jdk.unsupported",
            // java.nio file systems in jars
            "jdk.zipfs",
            // events for the flight recorder
            "jdk.jfr"));

    private RuntimeImage() {}

    /** Links the run time into {@code out}, a folder that is not there yet. */
    static void link(Path out) throws IOException {
        // --strip-debug takes line numbers from the JDK's classes, not from ours.
        run("jlink", "--add-modules", String.join(",", MODULES), "--strip-debug", "--no-header-files", "--no-man-pages",
                "--output", out.toString());
    }

    /**
     * Fails where {@code jars} need a module that the run time lacks.
     *
     * @param jars Lowbit's own; libraries need more on paths that nobody here takes (Swing, SQL)
     */
    static void check(List<Path> jars) throws IOException {
        for (Path jar : jars) {
            String out = run("jdeps", "--multi-release", "base", "--ignore-missing-deps", "--no-recursive", "--print-module-deps", jar.toString());
            List<String> lines = out.lines().filter(line -> !line.isBlank() && !line.startsWith("Warning")).toList();
            Set<String> missing = new TreeSet<>(Arrays.asList(lines.getLast().strip().split(",")));
            missing.removeAll(MODULES);
            if (!missing.isEmpty()) {
                throw new IOException(jar.getFileName() + " needs " + missing + ", which the bundle's run time lacks; add it in RuntimeImage.MODULES");
            }
        }
    }

    private static String run(String tool, String... arguments) throws IOException {
        ToolProvider provider = ToolProvider.findFirst(tool)
                .orElseThrow(() -> new IOException(tool + " is not in " + System.getProperty("java.home") + "; build with a full JDK"));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        PrintStream print = new PrintStream(out, true, StandardCharsets.UTF_8);
        int status = provider.run(print, print, arguments);
        String text = out.toString(StandardCharsets.UTF_8);
        if (status != 0) {
            throw new IOException(tool + " " + String.join(" ", new ArrayList<>(Arrays.asList(arguments))) + " ended with " + status + ": " + text.strip());
        }
        return text;
    }
}
