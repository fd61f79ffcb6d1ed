package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Row 18 of the reject list. */
class ShardedFolderTest {
    @TempDir
    Path temp;

    private Path folder;

    @BeforeEach
    void shards() throws IOException {
        folder = Files.createDirectory(temp.resolve("model"));
        try (Arena arena = Arena.ofConfined()) {
            SafetensorsWriter.write(folder.resolve("1.safetensors"), Map.of("a", Tensor.allocate(arena, DType.F32, 2)), Map.of());
            SafetensorsWriter.write(folder.resolve("2.safetensors"), Map.of("b", Tensor.allocate(arena, DType.F32, 3)), Map.of());
            SafetensorsWriter.write(temp.resolve("outside.safetensors"), Map.of("b", Tensor.allocate(arena, DType.F32, 3)), Map.of());
        }
    }

    @Test
    void aRightIndex() throws IOException {
        index("\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"");
        try (Checkpoint c = Checkpoint.open(folder)) {
            assertEquals(Set.of("a", "b"), c.names());
            assertEquals(3, c.tensor("b").elements());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"", "\"a\":\"1.safetensors\",\"b\":\"../outside.safetensors\"",
        "\"a\":\"1.safetensors\",\"b\":\"/etc/hostname\"", "\"a\":\"1.safetensors\",\"b\":\"C:\\\\x\"", "\"a\":\"1.safetensors\",\"b\":\"link.safetensors\"",
        "\"a\":\"1.safetensors\",\"b\":\"1.safetensors\"", "\"a\":\"1.safetensors\",\"b\":\"2.safetensors\",\"c\":\"2.safetensors\"",
        "\"a\":\"1.safetensors\",\"x\":\"2.safetensors\"", "\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"", "\"a\":\"1.safetensors\",\"b\":7",
        "\"a\":\"1.safetensors\",\"b\":\"\"", "\"a\":\"1.safetensors\",\"a\":\"1.safetensors\",\"b\":\"2.safetensors\""
    })
    void refused(String map) throws IOException {
        Files.createSymbolicLink(folder.resolve("link.safetensors"), temp.resolve("outside.safetensors"));
        index(map);
        CheckpointException e = assertThrows(CheckpointException.class, () -> Checkpoint.open(folder));
        assertEquals(Fault.INDEX, e.fault(), e.getMessage());
        assertEquals(1, e.getMessage().lines().count());
    }

    private void index(String map) throws IOException {
        Files.writeString(folder.resolve("model.safetensors.index.json"), "{\"metadata\":{\"total_size\":20},\"weight_map\":{" + map + "}}");
    }
}
