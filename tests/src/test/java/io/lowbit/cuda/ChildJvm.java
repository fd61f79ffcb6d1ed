package io.lowbit.cuda;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Runs a main class of the tests in a JVM of its own, where broken contexts and fake drivers harm nobody. */
public final class ChildJvm {
    private ChildJvm() {}

    /** Standard output and error together. */
    public static String run(Class<?> main, String... properties) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-Xlog:disable", "-Xlog:all=error:stderr"));
        command.addAll(List.of(properties));
        // Surefire may hide the class path in a jar's manifest; this property then has it in full.
        command.addAll(List.of("-cp", System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")), main.getName()));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String out = new String(process.getInputStream().readAllBytes());
        int status = process.waitFor();
        if (status != 0) {
            throw new AssertionError(main.getSimpleName() + " ended with " + status + ":\n" + out);
        }
        return out.lines().filter(line -> !line.startsWith("WARNING:")).reduce("", (a, b) -> a + b + "\n");
    }
}
