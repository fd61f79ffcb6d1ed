package io.lowbit.bundle;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.Assumptions;

/** The folder {@code java-src/lowbit-bundle/target/bundle} that the build made, or the reason why tests of it are skipped. */
public final class BuiltBundle {
    /** Makes a skip an error: the build made the bundle, so it is there. */
    static final String REQUIRED = "lowbit.tests.bundle";

    private static final Path FOLDER = Path.of(System.getProperty("lowbit.root"), "java-src/lowbit-bundle/target/bundle").normalize();

    private BuiltBundle() {}

    /** The folder; where there is none, or one of other classes than those under test, the test is skipped, loudly. */
    public static Path require() throws IOException {
        if (!Files.isExecutable(FOLDER.resolve("lowbit"))) {
            skip("java-src/lowbit-bundle/target/bundle is not there");
        }
        String stale = stale();
        if (stale != null) {
            skip("java-src/lowbit-bundle/target/bundle is of another build: " + stale + " differs");
        }
        return FOLDER;
    }

    static void skip(String reason) {
        String message = reason + "; make it with ./mvnw -Pbundle -DskipTests package";
        if ("required".equals(System.getProperty(REQUIRED))) {
            throw new AssertionError(message);
        }
        System.out.println("SKIPPED, test of the bundle: " + message);
        Assumptions.abort(message);
    }

    /** A class of Lowbit's jars in the bundle that is not the one under test, or null. */
    private static String stale() throws IOException {
        try (var jars = Files.newDirectoryStream(FOLDER.resolve("lib"), "lowbit*.jar")) {
            for (Path jar : jars) {
                try (ZipFile zip = new ZipFile(jar.toFile())) {
                    for (ZipEntry entry : Collections.list(zip.entries())) {
                        if (entry.getName().endsWith(".class") || entry.getName().endsWith(".ptx")) {
                            try (InputStream tested = BuiltBundle.class.getResourceAsStream("/" + entry.getName());
                                    InputStream bundled = zip.getInputStream(entry)) {
                                if (tested == null || !Arrays.equals(tested.readAllBytes(), bundled.readAllBytes())) {
                                    return entry.getName();
                                }
                            }
                        }
                    }
                }
            }
        }
        return null;
    }
}
