package io.lowbit.cli.bench;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Sizes of the first processor's unified caches.
 *
 * @param l2Bytes level 2, of one core; 0 where the system does not tell
 * @param l3Bytes level 3, shared; 0 where there is none or the system does not tell
 */
public record CpuCaches(long l2Bytes, long l3Bytes) {
    /** Where Linux tells them. */
    public static final Path SYSFS = Path.of("/sys/devices/system/cpu/cpu0/cache");

    /** Reads the folder that {@link #SYSFS} is; zeros where it does not exist. */
    public static CpuCaches read(Path folder) throws IOException {
        long l2 = 0;
        long l3 = 0;
        if (Files.isDirectory(folder)) {
            try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder, "index*")) {
                for (Path entry : entries) {
                    if (!text(entry, "type").equals("Unified")) {
                        continue;
                    }
                    long bytes = bytes(text(entry, "size"));
                    switch (text(entry, "level")) {
                        case "2" -> l2 = bytes;
                        case "3" -> l3 = bytes;
                        default -> { }
                    }
                }
            }
        }
        return new CpuCaches(l2, l3);
    }

    private static String text(Path entry, String file) throws IOException {
        return Files.readString(entry.resolve(file)).strip();
    }

    /** The kernel writes {@code 1024K}; {@code M} and {@code G} are taken too. */
    static long bytes(String size) {
        int digits = 0;
        while (digits < size.length() && Character.isDigit(size.charAt(digits))) {
            digits++;
        }
        int shift = switch (size.substring(digits)) {
            case "" -> 0;
            case "K" -> 10;
            case "M" -> 20;
            case "G" -> 30;
            default -> -1;
        };
        if (digits == 0 || shift < 0) {
            throw new IllegalArgumentException("cache size '" + size + "': expected a number with K, M or G");
        }
        return Long.parseLong(size.substring(0, digits)) << shift;
    }
}
