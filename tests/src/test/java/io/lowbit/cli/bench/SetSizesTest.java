package io.lowbit.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SetSizesTest {
    private static final long MIB = 1L << 20;

    @ParameterizedTest(name = "L3 of {0} MiB")
    @ValueSource(longs = {0, 4, 32, 96, 480, 1152})
    void dramSetExceedsEveryCacheAndAGibibyte(long l3) {
        SetSizes sets = SetSizes.of(new CpuCaches(MIB, l3 * MIB));
        for (long copy : new long[] {1000, 8_650_752, 45_088_768, 3L << 30}) {
            long single = copy * sets.dramCopies(1, copy);
            assertTrue(single >= 1L << 30 && single >= 4 * l3 * MIB, single + " bytes");
            long batch = copy * sets.dramCopies(64, copy);
            assertTrue(batch >= 4 * l3 * MIB && batch >= 256 * MIB, batch + " bytes");
            assertTrue(sets.dramCopies(1, copy) >= 2, "a single copy may stay in a cache in part");
        }
    }

    @ParameterizedTest(name = "L3 of {0} MiB")
    @ValueSource(longs = {16, 32, 96, 480})
    void l3SetFitsTheL3AndExceedsTheL2(long l3) {
        SetSizes sets = SetSizes.of(new CpuCaches(MIB, l3 * MIB));
        for (long copy : new long[] {1000, MIB, 5 * MIB}) {
            long bytes = copy * sets.l3Copies(copy);
            assertTrue(bytes <= l3 * MIB * 7 / 8, bytes + " bytes");
            assertTrue(bytes > 5 * MIB || copy == 5 * MIB, bytes + " bytes");
        }
    }

    @Test
    void aCopyLargerThanTheL3HasNoL3Set() {
        SetSizes sets = SetSizes.of(new CpuCaches(MIB, 32 * MIB));
        assertEquals(1, sets.l3Copies(27 * MIB));
        assertEquals(0, sets.l3Copies(29 * MIB));
        assertEquals(0, SetSizes.of(new CpuCaches(0, 0)).l3Copies(1000));
    }

    @Test
    void readsTheSizesThatLinuxTells(@TempDir Path folder) throws IOException {
        cache(folder.resolve("index0"), "1", "Data", "32K");
        cache(folder.resolve("index1"), "1", "Instruction", "32K");
        cache(folder.resolve("index2"), "2", "Unified", "1024K");
        cache(folder.resolve("index3"), "3", "Unified", "32768K");
        assertEquals(new CpuCaches(MIB, 32 * MIB), CpuCaches.read(folder));
        assertEquals(new CpuCaches(0, 0), CpuCaches.read(folder.resolve("absent")));
        assertEquals(3L << 30, CpuCaches.bytes("3G"));
        assertThrows(IllegalArgumentException.class, () -> CpuCaches.bytes("12X"));
        assertThrows(IllegalArgumentException.class, () -> CpuCaches.bytes(""));
    }

    private static void cache(Path index, String level, String type, String size) throws IOException {
        Files.createDirectories(index);
        Files.writeString(index.resolve("level"), level + "\n");
        Files.writeString(index.resolve("type"), type + "\n");
        Files.writeString(index.resolve("size"), size + "\n");
    }
}
