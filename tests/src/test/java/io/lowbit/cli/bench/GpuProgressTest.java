package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cli.Output;
import io.lowbit.cli.Progress;
import io.lowbit.cli.bench.gpu.GpuReport;
import io.lowbit.cli.bench.gpu.MadeUpRun;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** A run on a GPU that is cut off leaves what it has measured. */
class GpuProgressTest {
    @Command
    static final class Options implements Runnable {
        @Mixin
        private Output out;

        @Mixin
        private SheetOptions files;

        @Override
        public void run() {}
    }

    @Test
    void aFinishedShapeIsPrintedAndSaved(@TempDir Path folder) throws Exception {
        Path json = folder.resolve("run.json");
        Path csv = folder.resolve("run.csv");
        Options options = new Options();
        new CommandLine(options).execute("--save", json.toString(), "--csv", csv.toString());
        List<String> lines = new ArrayList<>();
        GpuReport sofar = MadeUpRun.whole();
        try (Progress bar = options.out.progress("bench", 12)) {
            GpuProgress progress = new GpuProgress(sofar.plan(), new RunProgress(lines::add, bar, options.files));
            progress.began(sofar);
            assertTrue(lines.stream().anyMatch(line -> line.startsWith("ceilings device read 3000 GB/s")), lines.toString());
            progress.done(sofar.results().getFirst(), () -> sofar);
            assertFalse(Files.exists(json), "not at every case");
            int method = lines.size();
            progress.finished(MadeUpRun.SHAPE, sofar);
            assertTrue(lines.get(method + 1).startsWith("N x K = 4096x4096"), lines.toString());
        }
        assertEquals(6, JsonReader.parseObject(Files.readString(json)).list("cases").size());
        assertEquals(7, Files.readAllLines(csv).size());
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(List.of(csv, json), files.sorted().toList(), "no part of a file stays");
        }
        assertTrue(Files.getPosixFilePermissions(json).containsAll(Files.getPosixFilePermissions(Files.writeString(folder.resolve("own"), ""))),
                "readable for whom the user's files are");
    }
}
