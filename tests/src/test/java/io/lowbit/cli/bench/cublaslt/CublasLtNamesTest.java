package io.lowbit.cli.bench.cublaslt;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CublasLtNamesTest {
    private static Path make(Path file) throws IOException {
        Files.createDirectories(file.getParent());
        return Files.createFile(file);
    }

    @Test
    void looksWhereToolkitsAndPipPutIt(@TempDir Path root) throws IOException {
        Path toolkit = make(root.resolve("usr/local/cuda/lib64/libcublasLt.so.12"));
        Path home = make(root.resolve("cuda-13/lib64/libcublasLt.so.13"));
        make(root.resolve("venv/bin/python3"));
        Path pip = make(root.resolve("venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublasLt.so.13"));
        Path old = make(root.resolve("home/.local/lib/python3.10/site-packages/nvidia/cublas/lib/libcublasLt.so.12"));
        make(root.resolve("venv/lib/python3.12/site-packages/other/libcublasLt.so.13"));
        List<String> names = CublasLtNames.usual(Map.of("CUDA_HOME", root.resolve("cuda-13").toString(), "HOME", root.resolve("home").toString(),
                "PATH", root.resolve("bin") + java.io.File.pathSeparator + root.resolve("venv/bin")), root);
        assertEquals(List.of("libcublasLt.so.13", "libcublasLt.so.12", home.toString(), toolkit.toString(), pip.toString(), old.toString()), names);
    }

    @Test
    void withoutAnyFileTheBareNamesStay(@TempDir Path root) {
        assertEquals(List.of("libcublasLt.so.13", "libcublasLt.so.12"), CublasLtNames.usual(Map.of(), root));
    }

    @Test
    void theRefusalNamesWhatWasTriedAndTheCure(@TempDir Path root) {
        Path none = root.resolve("libcublasLt.so.13");
        CublasLtMissingException e = assertThrows(CublasLtMissingException.class, () -> CublasLtLibrary.load(List.of(none.toString(), "libc.so.6"), false));
        assertTrue(e.getMessage().contains(none.toString()), e.getMessage());
        assertTrue(e.getMessage().contains("libc.so.6 (which lacks cublasLt"), e.getMessage());
        assertTrue(e.getMessage().contains("--cublaslt"), e.getMessage());
    }
}
