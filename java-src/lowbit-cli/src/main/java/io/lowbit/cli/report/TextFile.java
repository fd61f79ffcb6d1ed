package io.lowbit.cli.report;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Writes a text file whole or not at all. */
public final class TextFile {
    private TextFile() {}

    /** Writes UTF-8 beside the final name and renames it when whole. */
    public static void write(Path file, String text) throws IOException {
        Path target = file.toAbsolutePath();
        // not a temporary file of the JDK's: that would be readable for its owner only
        Path part = target.resolveSibling("." + target.getFileName() + "." + ProcessHandle.current().pid() + ".part");
        try {
            Files.writeString(part, text);
            Files.move(part, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(part);
        }
    }
}
