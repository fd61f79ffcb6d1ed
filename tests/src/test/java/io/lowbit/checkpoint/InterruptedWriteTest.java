package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.tensor.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A process that dies, and a disk that is full, while a file is written: what was there before stays. */
class InterruptedWriteTest {
    @TempDir
    Path folder;

    /** The process that is killed: writes forever, saying when it is half-way. */
    static final class Victim {
        public static void main(String[] args) throws Exception {
            long bytes = Long.parseLong(args[1]);
            Map<String, TensorSpec> specs = Map.of("a", TensorSpec.of(DType.U8, bytes));
            try (SafetensorsWriter writer = SafetensorsWriter.create(Path.of(args[0]), specs, Map.of())) {
                MemorySegment half = MemorySegment.ofArray(new byte[(int) (bytes / 2)]);
                writer.append("a", half);
                System.out.println("half");
                System.out.flush();
                if (args.length > 2) {
                    Thread.sleep(600_000);
                }
                writer.append("a", half);
                writer.commit();
            } catch (IOException e) {
                System.out.println("failed: " + e.getMessage());
                System.exit(3);
            }
        }
    }

    @Test
    void killedHalfWay() throws Exception {
        Path path = Files.writeString(folder.resolve("m.safetensors"), "old");
        Process process = java(List.of(), path.toString(), "1000000", "wait").start();
        try (var out = process.inputReader()) {
            assertEquals("half", out.readLine());
            process.destroyForcibly();
            assertTrue(process.waitFor(60, TimeUnit.SECONDS));
        }
        assertEquals("old", Files.readString(path));
        List<String> left = names();
        assertEquals(2, left.size());
        assertTrue(left.getFirst().startsWith(".m.safetensors.lowbit-tmp-"), left.toString());
        AtomicFile.write(path, new byte[] {1});
        assertEquals(List.of("m.safetensors"), names());
    }

    /** The shell's file size limit stands for the full disk: writes fail the same way and it needs no privilege. */
    @Test
    void noRoom() throws Exception {
        Path path = Files.writeString(folder.resolve("m.safetensors"), "old");
        ProcessBuilder java = java(List.of("sh", "-c", "ulimit -f 2000; exec \"$@\"", "sh"), path.toString(), "4000000");
        Process process = java.redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes());
        assertEquals(3, process.waitFor(), said);
        assertTrue(said.contains("failed: "), said);
        assertEquals("old", Files.readString(path));
        assertEquals(List.of("m.safetensors"), names());
    }

    private static ProcessBuilder java(List<String> before, String... args) {
        List<String> command = new ArrayList<>(before);
        command.addAll(List.of(Path.of(System.getProperty("java.home"), "bin/java").toString(), "-XX:-UsePerfData", "-Xshare:auto", "-cp",
                System.getProperty("java.class.path"), Victim.class.getName()));
        command.addAll(List.of(args));
        return new ProcessBuilder(command);
    }

    private List<String> names() throws IOException {
        try (Stream<Path> list = Files.list(folder)) {
            return list.map(p -> p.getFileName().toString()).sorted().toList();
        }
    }
}
