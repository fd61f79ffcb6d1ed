package io.lowbit;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClasspathRoots;

import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.discovery.ClassNameFilter;
import org.junit.platform.engine.discovery.PackageNameFilter;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.Launcher;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * Runs the tests of a folder of classes without Maven: {@code run-tests} of the bundle. Ends with a summary that names
 * everything skipped or left out, with the reason; the status is 0 only where something ran and nothing failed.
 */
final class Runner {
    private static final String USAGE = """
            run-tests [--gpu] [--nightly] [PATTERN...]
              --gpu      the tests of the GPU only; one that is skipped for want of a GPU fails
              --nightly  the long ones too
              PATTERN    only classes whose name contains it (a regular expression)""";

    /** Tags of tests that do not run here, with the reason. */
    private static final Map<String, String> LEFT_OUT = new TreeMap<>(Map.of(
            "sources", "needs Lowbit's sources, a whole JDK or what Maven fetches: run ./mvnw verify in the sources",
            "container", "needs a container engine and Lowbit's sources: run ./mvnw verify in the sources",
            "nightly", "is long: add --nightly"));

    /** Left out by name: its classes cannot even be loaded without Testcontainers. */
    private static final String CONTAINER_PACKAGE = "io.lowbit.container";

    private Runner() {}

    public static void main(String[] args) {
        Path classes = Path.of(args[0]);
        boolean gpu = false;
        boolean nightly = false;
        List<String> patterns = new ArrayList<>();
        for (String arg : List.of(args).subList(1, args.length)) {
            switch (arg) {
                case "--gpu" -> gpu = true;
                case "--nightly" -> nightly = true;
                case "--help" -> {
                    System.out.println(USAGE);
                    return;
                }
                default -> {
                    if (arg.startsWith("-")) {
                        System.err.println("run-tests: unknown option " + arg + "\n" + USAGE);
                        System.exit(2);
                    }
                    patterns.add(".*(" + arg + ").*");
                }
            }
        }
        Map<String, String> leftOut = new TreeMap<>(LEFT_OUT);
        if (nightly) {
            leftOut.remove("nightly");
        }
        if (gpu) {
            System.setProperty("lowbit.tests.gpu", "required");
        }
        System.exit(run(classes, gpu, leftOut, patterns, System.out) ? 0 : 1);
    }

    private static boolean run(Path classes, boolean gpu, Map<String, String> leftOut, List<String> patterns, PrintStream out) {
        LauncherDiscoveryRequestBuilder all = LauncherDiscoveryRequestBuilder.request().selectors(selectClasspathRoots(Set.of(classes)))
                .filters(PackageNameFilter.excludePackageNames(CONTAINER_PACKAGE));
        if (!patterns.isEmpty()) {
            all.filters(ClassNameFilter.includeClassNamePatterns(patterns.toArray(String[]::new)));
        }
        if (gpu) {
            all.filters(TagFilter.includeTags("gpu"));
        }
        Launcher launcher = LauncherFactory.create();
        LauncherDiscoveryRequest everything = all.build();
        Map<String, Set<String>> without = new TreeMap<>();
        if (!gpu && patterns.isEmpty()) {
            without.put(leftOut.get("container"), new TreeSet<>(Set.of(CONTAINER_PACKAGE)));
        }
        TestPlan plan = launcher.discover(everything);
        for (TestIdentifier root : plan.getRoots()) {
            for (TestIdentifier test : plan.getDescendants(root)) {
                test.getTags().stream().map(tag -> leftOut.get(tag.getName())).filter(reason -> reason != null)
                        .forEach(reason -> without.computeIfAbsent(reason, _ -> new TreeSet<>()).add(name(test)));
            }
        }
        Result result = new Result(out);
        launcher.execute(all.filters(TagFilter.excludeTags(List.copyOf(leftOut.keySet()))).build(), result);
        return result.summary(without);
    }

    /** The class and, for a test, the method. */
    private static String name(TestIdentifier test) {
        return switch (test.getSource().orElse(null)) {
            case MethodSource m -> simple(m.getClassName()) + "." + m.getMethodName();
            case ClassSource c -> simple(c.getClassName());
            case null, default -> test.getDisplayName();
        };
    }

    private static String simple(String className) {
        return className.substring(className.lastIndexOf('.') + 1);
    }

    /** Prints a line for each class and each failure, and counts. */
    private static final class Result implements TestExecutionListener {
        private final PrintStream out;
        private final long start = System.nanoTime();
        private final Map<String, Long> started = new ConcurrentHashMap<>();
        private final Map<String, Set<String>> skipped = new TreeMap<>();
        private final List<String> failures = new ArrayList<>();
        private int passed;
        private int skips;

        Result(PrintStream out) {
            this.out = out;
        }

        @Override
        public synchronized void executionStarted(TestIdentifier test) {
            started.put(test.getUniqueId(), System.nanoTime());
        }

        @Override
        public synchronized void executionSkipped(TestIdentifier test, String reason) {
            skip(test, reason);
        }

        @Override
        public synchronized void executionFinished(TestIdentifier test, TestExecutionResult result) {
            switch (result.getStatus()) {
                case SUCCESSFUL -> passed += test.isTest() ? 1 : 0;
                case ABORTED -> skip(test, result.getThrowable().map(Throwable::getMessage).orElse("no reason given"));
                case FAILED -> {
                    String failure = name(test) + " " + test.getDisplayName() + ": " + result.getThrowable().orElse(null);
                    failures.add(failure);
                    out.println("FAILED  " + failure);
                    result.getThrowable().ifPresent(e -> e.printStackTrace(out));
                }
            }
            if (test.getSource().orElse(null) instanceof ClassSource c) {
                out.printf("%7.1f s  %s%n", (System.nanoTime() - started.get(test.getUniqueId())) / 1e9, c.getClassName());
            }
        }

        private void skip(TestIdentifier test, String reason) {
            skips++;
            skipped.computeIfAbsent(reason.lines().findFirst().map(Result::withoutPrefix).orElse(""), _ -> new TreeSet<>()).add(name(test));
        }

        private static String withoutPrefix(String reason) {
            return reason.replaceFirst(Pattern.quote("Assumption failed: "), "");
        }

        synchronized boolean summary(Map<String, Set<String>> without) {
            out.println();
            without.forEach((reason, tests) -> out.println("LEFT OUT, " + reason + ":\n    " + String.join(", ", tests)));
            skipped.forEach((reason, tests) -> out.println("SKIPPED, " + reason + ":\n    " + String.join(", ", tests)));
            failures.forEach(failure -> out.println("FAILED, " + failure.lines().findFirst().orElse("")));
            out.printf("%d passed, %d failed, %d skipped, %.0f s%n", passed, failures.size(), skips, (System.nanoTime() - start) / 1e9);
            if (passed == 0 && failures.isEmpty()) {
                out.println("no test ran");
            }
            return passed > 0 && failures.isEmpty();
        }
    }
}
