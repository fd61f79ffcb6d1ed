package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The committed bindings are what generate.sh makes, where jextract and NVIDIA's headers are. */
@Tag("sources")
class BindingsTest {
    private static final Path BINDINGS = Path.of(System.getProperty("lowbit.root")).resolve("bindings");

    @Test
    void regeneratedBindingsAreTheSame(@TempDir Path out) throws Exception {
        if (System.getenv("JEXTRACT") == null) {
            System.out.println("SKIPPED: bindings/generate.sh needs jextract; set JEXTRACT (and CUDA_INCLUDE, CUBLAS_INCLUDE, NVML_INCLUDE, CLANG_INCLUDE)");
            Assumptions.abort("JEXTRACT is not set");
        }
        Process process = new ProcessBuilder(BINDINGS.resolve("generate.sh").toString(), out.toString()).redirectErrorStream(true).start();
        String log = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), log);
        Path committed = BINDINGS.resolve("src/main/java");
        List<Path> files;
        try (Stream<Path> walk = Files.walk(committed)) {
            files = walk.filter(Files::isRegularFile).map(committed::relativize).toList();
        }
        try (Stream<Path> walk = Files.walk(out)) {
            assertEquals(files.size(), walk.filter(Files::isRegularFile).count());
        }
        assertTrue(files.size() > 4);
        for (Path file : files) {
            assertEquals(-1, Files.mismatch(committed.resolve(file), out.resolve(file)), file.toString());
        }
    }
}
