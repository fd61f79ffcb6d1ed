package io.lowbit.bundle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.Programs;
import io.lowbit.Programs.Result;
import io.lowbit.checkpoint.json.JsonReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The archive as its user has it: unpacked somewhere, with no Java and an empty environment. */
@Tag("sources")
class BundleTest {
    private static final Path TARGET = Path.of(System.getProperty("lowbit.root"), "java-src/lowbit-bundle/target").normalize();

    @TempDir
    static Path folder;

    private static Path bundle;
    private static Path archive;

    @BeforeAll
    static void unpack() throws Exception {
        BuiltBundle.require();
        try (Stream<Path> files = Files.list(TARGET)) {
            archive = files.filter(file -> file.toString().endsWith(".tar.xz")).findFirst().orElse(null);
        }
        if (archive == null) {
            BuiltBundle.skip("there is no archive in " + TARGET);
        }
        Result tar = Programs.run(folder, List.of("tar", "-xf", archive.toString()));
        assertEquals(0, tar.exit(), tar.err());
        bundle = folder.resolve("bundle");
    }

    @Test
    void isSmallerThan40MiB() throws IOException {
        long size = Files.size(archive);
        System.out.printf("%s: %.2f MiB%n", archive.getFileName(), size / 1048576.0);
        assertTrue(size < 40L << 20, size + " bytes");
    }

    private static Result run(String... command) throws IOException, InterruptedException {
        return Programs.runBare(folder, Stream.concat(Stream.of(bundle.resolve(command[0]).toString()), Stream.of(command).skip(1)).toList());
    }

    @Test
    void infoRunsThroughALink() throws Exception {
        Path link = Files.createSymbolicLink(folder.resolve("a link"), Path.of("bundle/lowbit"));
        Result info = Programs.runBare(folder, List.of(link.toString(), "info", "--json"));
        assertEquals(0, info.exit(), info.err());
        assertEquals("", info.err());
        JsonReader.parseObject(info.out());
    }

    @Test
    void selftestPasses() throws Exception {
        Result selftest = run("lowbit", "selftest", "--backend", "cpu", "--quick");
        assertEquals(0, selftest.exit(), selftest.out() + selftest.err());
        assertTrue(selftest.out().strip().endsWith("all passed"), selftest.out());
    }

    /** The tokenizer's native library and the model are inside. */
    @Test
    void demoRuns() throws Exception {
        Result demo = run("lowbit", "demo", "--backend", "cpu", "--windows", "1", "--max-tokens", "2", "--scheme", "nf4", "--report", "page.html");
        assertEquals(0, demo.exit(), demo.err());
        assertTrue(demo.out().contains("nf4 b64"), demo.out());
        assertTrue(Files.size(folder.resolve("page.html")) > 1000);
    }

    @Test
    void testsRunInsideAndSayWhatWasLeftOut() throws Exception {
        Result tests = run("run-tests", "format\\.DecodeTables", "llm.TextTokenizer", "cuda.Ptx");
        assertEquals(0, tests.exit(), tests.out() + tests.err());
        assertTrue(tests.out().contains(" 0 failed,"), tests.out());
        assertTrue(tests.out().contains("io.lowbit.llm.TextTokenizerTest"), tests.out());
        assertTrue(tests.out().contains("LEFT OUT, needs Lowbit's sources"), tests.out());
        assertTrue(tests.out().contains("PtxTest.committedPtxIsWhatTheSourcesGive"), tests.out());
    }

    /** Where there is no GPU, its tests fail rather than pass by being skipped. */
    @Test
    void gpuTestsWithoutAGpuFail() throws Exception {
        Result tests = run("run-tests", "--gpu", "DequantizeGpu");
        boolean gpu = Files.exists(Path.of("/proc/driver/nvidia/version"));
        assertEquals(gpu ? 0 : 1, tests.exit(), tests.out() + tests.err());
        assertTrue(tests.out().contains(" 0 skipped"), tests.out());
    }

    @Test
    void nothingSelectedIsNoSuccess() throws Exception {
        Result tests = run("run-tests", "NoSuchClassAnywhere");
        assertEquals(1, tests.exit(), tests.out());
        assertTrue(tests.out().contains("no test ran"), tests.out());
    }
}
