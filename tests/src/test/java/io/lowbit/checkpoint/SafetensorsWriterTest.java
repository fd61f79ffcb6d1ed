package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsWriterTest {
    @TempDir
    Path folder;

    /**
     * The reference writer made these; writing their tensors again gives the same bytes. (Files with several metadata
     * are left out: the reference writes those in the random order of a hash table, this one sorted.)
     */
    @ParameterizedTest
    @ValueSource(strings = {
        "bnb_checkpoint.safetensors", "nvfp4/compressed_tensors.safetensors",
        "compressed-tensors/pack_quantized.safetensors", "fp8/block128.safetensors", "gptq/asym_g64.v1.safetensors"
    })
    void sameBytesAsTheReferenceWriter(String name) throws IOException {
        Path copy = folder.resolve("copy.safetensors");
        try (SafetensorsFile file = SafetensorsFile.open(Golden.path(name))) {
            SafetensorsWriter.write(copy, file.tensors(), file.metadata());
        }
        assertArrayEquals(Files.readAllBytes(Golden.path(name)), Files.readAllBytes(copy));
    }

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void randomTensorsComeBack(long seed) throws IOException {
        Random random = new Random(seed);
        Path path = folder.resolve("r.safetensors");
        try (Arena arena = Arena.ofConfined()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (int i = 0; i < 40; i++) {
                DType dtype = DType.values()[random.nextInt(DType.values().length)];
                long[] dims = new long[random.nextInt(4)];
                for (int d = 0; d < dims.length; d++) {
                    dims[d] = random.nextInt(5);
                }
                long elements = Shape.of(dims).elements();
                if ((elements * dtype.bits()) % 8 != 0) {
                    dims = new long[] {4 * random.nextInt(9)};
                }
                Tensor t = Tensor.allocate(arena, dtype, dims);
                byte[] bytes = new byte[(int) t.data().byteSize()];
                random.nextBytes(bytes);
                MemorySegment.copy(bytes, 0, t.data(), ValueLayout.JAVA_BYTE, 0, bytes.length);
                tensors.put("t" + i + (random.nextBoolean() ? ".é\"\\😀" : ".weight"), t);
            }
            Map<String, String> metadata = Map.of("format", "pt", "lowbit", "\n\"é");
            SafetensorsWriter.write(path, tensors, metadata);
            try (SafetensorsFile file = SafetensorsFile.open(path)) {
                assertEquals(metadata, file.metadata());
                assertEquals(tensors.keySet(), file.tensors().keySet());
                tensors.forEach((name, t) -> {
                    assertEquals(TensorSpec.of(t), TensorSpec.of(file.tensor(name)));
                    assertEquals(-1, t.data().mismatch(file.tensor(name).data()));
                });
                DType last = DType.U64;
                for (Tensor t : file.tensors().values()) {
                    assertTrue(t.dtype().compareTo(last) <= 0);
                    last = t.dtype();
                    // 64-byte types first: every tensor starts on a multiple of its element size
                    assertEquals(0, (t.data().address() & 0xfff) % Math.max(1, t.dtype().bits() / 8));
                }
            }
        }
        assertEquals(List.of("r.safetensors"), names());
    }

    @Test
    void piecesInAnyOrder() throws IOException {
        Path path = folder.resolve("p.safetensors");
        Map<String, TensorSpec> specs = Map.of("a", TensorSpec.of(DType.U8, 5), "b", TensorSpec.of(DType.F32, 1), "z", TensorSpec.of(DType.F32, 0));
        try (SafetensorsWriter writer = SafetensorsWriter.create(path, specs, Map.of())) {
            writer.append("a", MemorySegment.ofArray(new byte[] {1, 2}));
            writer.append("b", MemorySegment.ofArray(new float[] {3}));
            writer.append("a", MemorySegment.ofArray(new byte[] {3, 4, 5}));
            assertThrows(IllegalArgumentException.class, () -> writer.append("a", MemorySegment.ofArray(new byte[1])));
            assertThrows(IllegalArgumentException.class, () -> writer.append("c", MemorySegment.ofArray(new byte[1])));
            assertFalse(Files.exists(path));
            writer.commit();
        }
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertArrayEquals(new byte[] {1, 2, 3, 4, 5}, file.tensor("a").data().toArray(ValueLayout.JAVA_BYTE));
            assertEquals(3f, file.tensor("b").getFloat(0));
        }
    }

    @Test
    void incompleteOrUncommittedLeavesWhatWasThere() throws IOException {
        Path path = Files.writeString(folder.resolve("old.safetensors"), "old");
        Map<String, TensorSpec> specs = Map.of("a", TensorSpec.of(DType.U8, 5));
        try (SafetensorsWriter writer = SafetensorsWriter.create(path, specs, Map.of())) {
            writer.append("a", MemorySegment.ofArray(new byte[4]));
            assertTrue(assertThrows(IllegalStateException.class, writer::commit).getMessage().contains("4 of 5 bytes"));
            assertEquals(2, names().size());
        }
        assertEquals("old", Files.readString(path));
        assertEquals(List.of("old.safetensors"), names());
    }

    @Test
    void failureOfTheSourceLeavesNothing() throws IOException {
        Path path = folder.resolve("f.safetensors");
        Arena arena = Arena.ofConfined();
        Tensor tensor = Tensor.allocate(arena, DType.F32, 3);
        arena.close();
        assertThrows(IllegalStateException.class, () -> SafetensorsWriter.write(path, Map.of("a", tensor), Map.of()));
        assertEquals(List.of(), names());
    }

    @Test
    void wrongUse() throws IOException {
        Map<String, TensorSpec> specs = Map.of("a", TensorSpec.of(DType.U8, 5));
        for (String name : List.of("__metadata__", "a\n", "\ud800")) {
            assertThrows(IllegalArgumentException.class,
                    () -> SafetensorsWriter.create(folder.resolve("n"), Map.of(name, TensorSpec.of(DType.U8, 5)), Map.of()));
        }
        assertThrows(ArithmeticException.class, () -> SafetensorsWriter.create(folder.resolve("n"),
                Map.of("a", TensorSpec.of(DType.U8, Long.MAX_VALUE / 8), "b", TensorSpec.of(DType.U8, Long.MAX_VALUE)), Map.of()));
        assertThrows(NoSuchFileException.class, () -> SafetensorsWriter.create(folder.resolve("none/n"), specs, Map.of()));
        assertEquals(List.of(), names());
        try (Arena arena = Arena.ofConfined(); SafetensorsWriter writer = SafetensorsWriter.create(folder.resolve("n"), specs, Map.of())) {
            assertThrows(IllegalArgumentException.class, () -> writer.write("a", Tensor.allocate(arena, DType.U8, 1, 5)));
        }
    }

    /** A file that outlived its writer goes; one whose writer is at work stays. */
    @Test
    void staleTemporariesAreCleared() throws IOException {
        Path path = folder.resolve("s.safetensors");
        Path stale = Files.writeString(folder.resolve(".s.safetensors.lowbit-tmp-1-dead"), "x");
        Path other = Files.writeString(folder.resolve(".other.safetensors.lowbit-tmp-1-dead"), "x");
        try (AtomicFile first = AtomicFile.create(path)) {
            assertFalse(Files.exists(stale));
            assertTrue(Files.exists(other));
            try (AtomicFile second = AtomicFile.create(path)) {
                assertEquals(3, names().size());
                second.commit();
            }
            first.commit();
        }
        assertEquals(List.of(".other.safetensors.lowbit-tmp-1-dead", "s.safetensors"), names());
    }

    private List<String> names() throws IOException {
        try (Stream<Path> list = Files.list(folder)) {
            return list.map(p -> p.getFileName().toString()).sorted().toList();
        }
    }
}
