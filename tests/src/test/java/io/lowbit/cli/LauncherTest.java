package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("Launcher")
@DisabledOnOs(value = OS.WINDOWS, disabledReason = "the launcher is a POSIX shell script")
@Tag("sources")
class LauncherTest {
    private static final Path ROOT = Path.of(System.getProperty("lowbit.root")).toAbsolutePath().normalize();

    private record Result(int exit, String out, String err) {}

    @TempDir
    private Path temp;

    private Result run(Path launcher, Path folder, Map<String, String> environment, String... args) throws Exception {
        List<String> command = new java.util.ArrayList<>(List.of(launcher.toString()));
        command.addAll(List.of(args));
        Path out = temp.resolve("out.txt");
        Path err = temp.resolve("err.txt");
        ProcessBuilder builder = new ProcessBuilder(command).directory(folder.toFile());
        builder.redirectOutput(out.toFile()).redirectError(err.toFile());
        environment.forEach((name, value) -> {
            if (value != null) {
                builder.environment().put(name, value);
            }
        });
        builder.environment().remove("JAVA_TOOL_OPTIONS");
        environment.forEach((name, value) -> {
            if (value == null) {
                builder.environment().remove(name);
            }
        });
        int exit = builder.start().waitFor();
        // The filter of standard error may outlive the JVM by a moment.
        long deadline = System.nanoTime() + 5_000_000_000L;
        while (exit != 0 && Files.size(err) == 0 && System.nanoTime() < deadline) {
            Thread.sleep(5);
        }
        return new Result(exit, Files.readString(out), Files.readString(err));
    }

    /** A PATH with the tools the launcher uses and no java. */
    private Path toolsWithoutJava() throws IOException {
        Path bin = Files.createDirectories(temp.resolve("bin"));
        for (String tool : List.of("sh", "readlink", "sed", "head", "find", "mktemp", "mkfifo", "rm", "cat", "mkdir", "mv", "sleep")) {
            for (String folder : List.of("/usr/bin", "/bin")) {
                Path real = Path.of(folder, tool);
                if (Files.exists(real) && !Files.exists(bin.resolve(tool))) {
                    Files.writeString(bin.resolve(tool), "#!/bin/sh\nexec " + real + " \"$@\"\n");
                    bin.resolve(tool).toFile().setExecutable(true);
                }
            }
        }
        return bin;
    }

    /** A folder that looks like a JDK of the version given. */
    private Path fakeJdk(String name, String version) throws IOException {
        Path jdk = Files.createDirectories(temp.resolve("jvms").resolve(name));
        Files.createDirectories(jdk.resolve("bin"));
        for (String tool : List.of("java", "javac")) {
            Path file = jdk.resolve("bin").resolve(tool);
            Files.writeString(file, "#!/bin/sh\nexit 99\n");
            file.toFile().setExecutable(true);
        }
        Files.writeString(jdk.resolve("release"), "IMPLEMENTOR=\"Test\"\nJAVA_VERSION=\"" + version + "\"\n");
        return jdk;
    }

    private Map<String, String> noJdk() throws IOException {
        Map<String, String> environment = new HashMap<>();
        environment.put("PATH", toolsWithoutJava().toString());
        environment.put("JAVA_HOME", null);
        environment.put("LOWBIT_JAVA_HOME", null);
        environment.put("LOWBIT_JVM_FOLDERS", temp.resolve("jvms").toString());
        return environment;
    }

    @Test
    void withoutAJdkItSaysTheCure() throws Exception {
        Map<String, String> environment = noJdk();
        environment.put("JAVA_HOME", fakeJdk("old", "17.0.15").toString());
        Result result = run(ROOT.resolve("lowbit"), temp, environment, "info");
        assertEquals(1, result.exit(), result.err());
        assertEquals(1, result.err().lines().count(), result.err());
        assertTrue(result.err().startsWith("lowbit: JDK: none of version 25 or later found"), result.err());
        assertTrue(result.err().contains("is 17"), result.err());
        assertTrue(result.err().contains("install one") && result.err().contains("LOWBIT_JAVA_HOME"), result.err());
        assertEquals("", result.out());
    }

    @Test
    void aJdkAskedForByNameIsNeverReplaced() throws Exception {
        Map<String, String> environment = noJdk();
        environment.put("LOWBIT_JAVA_HOME", fakeJdk("old", "21.0.1").toString());
        fakeJdk("new", "25.0.1");
        Result result = run(ROOT.resolve("lowbit"), temp, environment, "info");
        assertEquals(1, result.exit(), result.err());
        assertTrue(result.err().contains("not a JDK 25 or later"), result.err());
    }

    @Test
    void buildsOnFirstUseAndAfterChangesFromAnyFolderThroughLinksAndSpaces() throws Exception {
        Path clone = temp.resolve("a clone with spaces");
        copySources(clone);
        Path elsewhere = Files.createDirectories(temp.resolve("else where"));
        Path link = Files.createSymbolicLink(elsewhere.resolve("my lowbit"), Path.of("../a clone with spaces/lowbit"));
        Map<String, String> environment = new HashMap<>();
        environment.put("LOWBIT_JAVA_HOME", System.getProperty("java.home"));

        Result first = run(link, elsewhere, environment, "--version");
        assertEquals(0, first.exit(), first.err());
        assertTrue(first.err().contains("lowbit: building"), first.err());
        assertTrue(first.out().startsWith("lowbit "), first.out());

        Result second = run(link, elsewhere, environment, "--version");
        assertEquals(0, second.exit(), second.err());
        assertEquals("", second.err(), "nothing to build, and the incubator warning is kept out");
        assertEquals(first.out(), second.out());

        Result wrong = run(link, elsewhere, environment, "nonsense");
        assertEquals(2, wrong.exit(), wrong.err());
        assertEquals(1, wrong.err().lines().count(), wrong.err());

        Path source = clone.resolve("java-src/lowbit-cli/src/main/java/io/lowbit/cli/Version.java");
        String good = Files.readString(source);
        Files.writeString(source, good.replace("\"lowbit \" +", "\"changed lowbit \" +"));
        Result changed = run(link, elsewhere, environment, "--version");
        assertEquals(0, changed.exit(), changed.err());
        assertTrue(changed.err().contains("lowbit: building"), changed.err());
        assertTrue(changed.out().startsWith("changed lowbit "), changed.out());

        Files.writeString(source, good.replace("return new String[]", "return no such thing"));
        Result broken = run(link, elsewhere, environment, "--version");
        assertEquals(1, broken.exit(), broken.out());
        assertTrue(broken.err().contains("Version.java"), broken.err());
        assertTrue(broken.err().contains("lowbit: build: failed"), broken.err());
        assertFalse(broken.out().contains("lowbit"), broken.out());
    }

    private static void copySources(Path target) throws IOException {
        for (String file : List.of("pom.xml", "lowbit", "mvnw")) {
            copy(ROOT.resolve(file), target.resolve(file));
        }
        for (String folder : List.of(".mvn", "bindings", "java-src", "tests/pom.xml", "tests/golden/codes.safetensors",
                "tests/golden/encode.safetensors")) {
            Path from = ROOT.resolve(folder);
            Files.walkFileTree(from, new SimpleFileVisitor<>() {
                @Override
                public FileVisitResult preVisitDirectory(Path folder, BasicFileAttributes attributes) {
                    return folder.endsWith("target") ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE;
                }

                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                    copy(file, target.resolve(ROOT.relativize(file).toString()));
                    return FileVisitResult.CONTINUE;
                }
            });
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.createDirectories(to.getParent());
        Files.copy(from, to, StandardCopyOption.COPY_ATTRIBUTES);
    }
}
