package io.lowbit.bundle;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;

/**
 * Makes {@code bundle/} and the archive of it:
 * <pre>
 * lowbit, run-tests   launchers
 * runtime/            the run time
 * lib/                the command line and its libraries
 * tests/lib/          JUnit
 * tests/classes/      the tests
 * tests/root/         what they read of the source tree, at the same place: golden vectors and the demo's model
 * </pre>
 */
public final class Bundle {
    /** The archive must stay below this. */
    static final long LIMIT = 40L << 20;

    /** What tests read below {@code lowbit.root}. */
    private static final List<String> READ_BY_TESTS = List.of("java-src/lowbit-cli/src/main/resources/io/lowbit/cli/demo-model", "tests/golden");

    private Bundle() {}

    /**
     * Arguments: root of the sources, class path of the command line, class path of the tests' libraries, folder to make,
     * archive to write or {@code none}, time stamp of its entries.
     */
    public static void main(String[] args) throws Exception {
        if (args.length != 6) {
            throw new IllegalArgumentException("expected ROOT LIBRARIES TEST-LIBRARIES FOLDER ARCHIVE|none TIME, got " + Arrays.toString(args));
        }
        Path root = Path.of(args[0]).toRealPath();
        Path folder = Path.of(args[3]);
        try {
            make(root, paths(args[1]), paths(args[2]), folder);
            System.out.println("bundle: " + folder);
            if (!args[4].equals("none")) {
                archive(folder, Path.of(args[4]), Instant.parse(args[5]).getEpochSecond());
            }
        } catch (IOException e) {
            System.err.println("bundle: " + e.getMessage());
            System.exit(1);
        }
    }

    private static List<Path> paths(String classPath) {
        return Arrays.stream(classPath.split(java.io.File.pathSeparator)).map(Path::of).toList();
    }

    private static void make(Path root, List<Path> libraries, List<Path> testLibraries, Path folder) throws IOException {
        delete(folder);
        Files.createDirectories(folder);
        RuntimeImage.check(libraries.stream().filter(jar -> jar.getFileName().toString().startsWith("lowbit")).toList());
        RuntimeImage.link(folder.resolve("runtime"));
        Jars.copy(libraries, folder.resolve("lib"));
        Jars.copy(testLibraries.stream().filter(jar -> !libraries.contains(jar)).toList(), folder.resolve("tests/lib"));
        Path tests = root.resolve("tests/target/test-classes");
        if (!Files.isDirectory(tests)) {
            throw new IOException(tests + " is not there: build all modules, with -DskipTests and not -Dmaven.test.skip");
        }
        copy(tests, folder.resolve("tests/classes"));
        for (String name : READ_BY_TESTS) {
            copy(root.resolve(name), folder.resolve("tests/root").resolve(name));
        }
        Files.copy(root.resolve("LICENSE"), folder.resolve("LICENSE"));
        Path files = root.resolve("java-src/lowbit-bundle/src/main/files");
        copy(files, folder);
        for (String launcher : List.of("lowbit", "run-tests")) {
            if (!folder.resolve(launcher).toFile().setExecutable(true, false)) {
                throw new IOException(folder.resolve(launcher) + " cannot be made executable");
            }
        }
    }

    private static void archive(Path folder, Path archive, long seconds) throws IOException, InterruptedException {
        TarXz.write(folder, List.of("runtime", "lib", "tests/root/java-src"), seconds, archive);
        long size = Files.size(archive);
        System.out.printf("bundle: %s, %.2f MiB (limit %d MiB)%n", archive, size / 1048576.0, LIMIT >> 20);
        if (size >= LIMIT) {
            throw new IOException(archive + " is " + size + " bytes, the limit is " + LIMIT + ": something large came in; leave it out in Bundle or Jars");
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.walkFileTree(from, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Path target = to.resolve(from.relativize(file).toString());
                Files.createDirectories(target.getParent());
                Files.copy(file, target, StandardCopyOption.COPY_ATTRIBUTES);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    private static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        Files.walkFileTree(folder, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, IOException failure) throws IOException {
                if (failure != null) {
                    throw failure;
                }
                Files.delete(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
