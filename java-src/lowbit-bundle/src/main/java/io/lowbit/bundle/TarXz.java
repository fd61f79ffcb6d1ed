package io.lowbit.bundle;

import java.io.BufferedOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.archivers.tar.TarConstants;
import org.tukaani.xz.FilterOptions;
import org.tukaani.xz.LZMA2Options;
import org.tukaani.xz.X86Options;
import org.tukaani.xz.XZOutputStream;

/**
 * Writes a folder as .tar.xz. Names are sorted, owners and times are fixed: the same files give the same tar, and the same
 * compressor the same archive.
 */
final class TarXz {
    /** Streams that the tar is cut into and compressed at once; a .xz file may hold several. A constant, for the same bytes everywhere. */
    private static final int STREAMS = 2;
    /** How far back a repetition is found: farther than the model is long, which the bundle holds in a jar and as files. */
    private static final int DICTIONARY = 64 << 20;
    private static final int PRESET = 6;
    /** Bytes of a repetition that end the search for a longer one: the format's most, since PTX repeats itself at length. */
    private static final int NICE = 273;

    private TarXz() {}

    /**
     * Writes {@code folder}, under its own name, to {@code archive}.
     *
     * @param first names in the folder that come first, in this order; then all others by name
     * @param seconds the time of every entry, since 1970
     */
    static void write(Path folder, List<String> first, long seconds, Path archive) throws IOException, InterruptedException {
        Path tar = Files.createTempFile(archive.toAbsolutePath().getParent(), "bundle", ".tar");
        List<Path> parts = new ArrayList<>();
        try (ExecutorService threads = Executors.newFixedThreadPool(STREAMS)) {
            tar(folder, first, seconds, tar);
            long size = Files.size(tar);
            List<Future<?>> running = new ArrayList<>();
            for (int i = 0; i < STREAMS; i++) {
                long from = size * i / STREAMS;
                long to = size * (i + 1) / STREAMS;
                Path part = Files.createTempFile(archive.toAbsolutePath().getParent(), "bundle", ".xz");
                parts.add(part);
                running.add(threads.submit(() -> {
                    compress(tar, from, to, part);
                    return null;
                }));
            }
            for (Future<?> future : running) {
                future.get();
            }
            try (OutputStream out = Files.newOutputStream(archive)) {
                for (Path part : parts) {
                    Files.copy(part, out);
                }
            }
        } catch (ExecutionException e) {
            throw new IOException(archive + ": " + e.getCause(), e.getCause());
        } finally {
            Files.deleteIfExists(tar);
            for (Path part : parts) {
                Files.deleteIfExists(part);
            }
        }
    }

    private static void tar(Path folder, List<String> first, long seconds, Path tar) throws IOException {
        List<Path> paths;
        try (Stream<Path> walk = Files.walk(folder)) {
            paths = walk.sorted(Comparator.comparingInt((Path path) -> rank(folder, path, first)).thenComparing(Path::toString)).toList();
        }
        try (TarArchiveOutputStream out = new TarArchiveOutputStream(new BufferedOutputStream(Files.newOutputStream(tar)), "UTF-8")) {
            out.setLongFileMode(TarArchiveOutputStream.LONGFILE_POSIX);
            for (Path path : paths) {
                boolean link = Files.isSymbolicLink(path);
                boolean directory = !link && Files.isDirectory(path);
                String name = folder.getFileName().resolve(folder.relativize(path)) + (directory ? "/" : "");
                TarArchiveEntry entry = link ? new TarArchiveEntry(name, TarConstants.LF_SYMLINK) : new TarArchiveEntry(name);
                entry.setIds(0, 0);
                entry.setModTime(seconds * 1000);
                if (link) {
                    entry.setLinkName(Files.readSymbolicLink(path).toString());
                } else {
                    entry.setMode(directory || Files.isExecutable(path) ? 0755 : 0644);
                    entry.setSize(directory ? 0 : Files.size(path));
                }
                out.putArchiveEntry(entry);
                if (Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)) {
                    Files.copy(path, out);
                }
                out.closeArchiveEntry();
            }
        }
    }

    /** The folder itself first, then the names in {@code first}, then the rest. */
    private static int rank(Path folder, Path path, List<String> first) {
        Path inside = folder.relativize(path);
        if (inside.toString().isEmpty()) {
            return -1;
        }
        for (int i = 0; i < first.size(); i++) {
            if (inside.startsWith(first.get(i))) {
                return i;
            }
        }
        return first.size();
    }

    private static void compress(Path tar, long from, long to, Path part) throws IOException, InterruptedException {
        if (hasXz()) {
            // The same format and settings as below, in half the time.
            Process xz = new ProcessBuilder("xz", "--stdout", "--x86", "--lzma2=preset=" + PRESET + ",dict=" + DICTIONARY + ",nice=" + NICE)
                    .redirectOutput(part.toFile()).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            try (OutputStream out = xz.getOutputStream()) {
                copy(tar, from, to, out);
            }
            if (xz.waitFor() != 0) {
                throw new IOException("xz ended with " + xz.exitValue() + "; see above");
            }
        } else {
            LZMA2Options lzma = new LZMA2Options(PRESET);
            lzma.setDictSize(DICTIONARY);
            lzma.setNiceLen(NICE);
            try (OutputStream out = new XZOutputStream(new BufferedOutputStream(Files.newOutputStream(part)),
                    new FilterOptions[] {new X86Options(), lzma})) {
                copy(tar, from, to, out);
            }
        }
    }

    private static boolean hasXz() {
        for (String folder : System.getenv().getOrDefault("PATH", "").split(File.pathSeparator)) {
            if (!folder.isEmpty() && Files.isExecutable(Path.of(folder, "xz"))) {
                return true;
            }
        }
        return false;
    }

    private static void copy(Path tar, long from, long to, OutputStream out) throws IOException {
        try (InputStream in = Files.newInputStream(tar)) {
            in.skipNBytes(from);
            byte[] buffer = new byte[1 << 16];
            for (long left = to - from; left > 0;) {
                int n = in.read(buffer, 0, (int) Math.min(buffer.length, left));
                if (n < 0) {
                    throw new IOException(tar + " became shorter");
                }
                out.write(buffer, 0, n);
                left -= n;
            }
        }
    }
}
