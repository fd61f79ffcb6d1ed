package io.lowbit.bundle;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/**
 * Copies jars without compressing them, since the archive around them compresses better, and without the native
 * libraries that the bundle does not use.
 */
final class Jars {
    /**
     * Native libraries for anything but Linux on x86-64, in the tokenizer's jar and in JNA's, and what JCuda's holds
     * besides the driver's: its runtime, and compilers as large as all else together.
     */
    private static final Pattern LEFT_OUT = Pattern.compile("native/lib/(?!linux-x86_64/)[^/]+/.*"
            + "|com/sun/jna/(?!linux-x86-64/)[a-z0-9]+-[a-z0-9_-]+/.*"
            + "|lib/libJ(CudaRuntime|Nvrtc|NvPTXCompiler)-.*");

    private Jars() {}

    /** Copies each of {@code jars} into {@code folder}. */
    static void copy(List<Path> jars, Path folder) throws IOException {
        Files.createDirectories(folder);
        for (Path jar : jars) {
            Path to = folder.resolve(jar.getFileName());
            if (Files.exists(to)) {
                throw new IOException("two jars are called " + jar.getFileName());
            }
            store(jar, to);
        }
    }

    private static void store(Path from, Path to) throws IOException {
        try (ZipFile in = new ZipFile(from.toFile()); OutputStream file = Files.newOutputStream(to); ZipOutputStream out = new ZipOutputStream(file)) {
            out.setMethod(ZipOutputStream.STORED);
            for (ZipEntry entry : Collections.list(in.entries())) {
                if (LEFT_OUT.matcher(entry.getName()).matches()) {
                    continue;
                }
                byte[] bytes;
                try (InputStream data = in.getInputStream(entry)) {
                    bytes = data.readAllBytes();
                }
                CRC32 crc = new CRC32();
                crc.update(bytes);
                ZipEntry stored = new ZipEntry(entry.getName());
                stored.setTimeLocal(entry.getTimeLocal());
                stored.setSize(bytes.length);
                stored.setCrc(crc.getValue());
                out.putNextEntry(stored);
                out.write(bytes);
                out.closeEntry();
            }
        }
    }
}
