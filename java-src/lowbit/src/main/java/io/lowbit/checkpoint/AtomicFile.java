package io.lowbit.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A file that appears whole or not at all: written under a temporary name beside its final one, flushed to the disk
 * and renamed by {@link #commit()}. {@link #close()} without a commit removes it and leaves what was there before.
 *
 * <p>A process that is killed leaves {@code .NAME.lowbit-tmp-…} behind, which the next write of the same name clears
 * away: it holds no lock any more.
 */
public final class AtomicFile implements AutoCloseable {
    private static final String MARK = ".lowbit-tmp-";

    private final Path target;
    private final Path temporary;
    private final FileChannel channel;
    private boolean done;

    private AtomicFile(Path target, Path temporary, FileChannel channel) {
        this.target = target;
        this.temporary = temporary;
        this.channel = channel;
    }

    /**
     * Begins to write {@code target}, whose folder must exist.
     *
     * @throws NoSuchFileException where the folder does not exist
     */
    public static AtomicFile create(Path target) throws IOException {
        Path folder = folder(target);
        if (!Files.isDirectory(folder)) {
            throw new NoSuchFileException(folder.toString());
        }
        if (Files.isDirectory(target)) {
            throw new java.nio.file.FileSystemException(target.toString(), null, "is a folder, expected a file name");
        }
        clearStale(folder, prefix(target));
        // The number only keeps two writers of one name apart.
        Path temporary = folder.resolve(prefix(target) + ProcessHandle.current().pid() + "-"
                + Long.toHexString(ThreadLocalRandom.current().nextLong()));
        FileChannel channel = FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, StandardOpenOption.READ);
        try {
            channel.tryLock();
        } catch (IOException e) {
            channel.close();
            Files.deleteIfExists(temporary);
            throw e;
        }
        return new AtomicFile(target, temporary, channel);
    }

    /** Writes {@code bytes} as the whole of {@code target}. */
    public static void write(Path target, byte[] bytes) throws IOException {
        try (AtomicFile file = create(target)) {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            while (buffer.hasRemaining()) {
                file.channel.write(buffer);
            }
            file.commit();
        }
    }

    /** Where the bytes go. */
    public FileChannel channel() {
        return channel;
    }

    /** The final name. */
    public Path target() {
        return target;
    }

    /** Flushes to the disk, renames to the final name, replacing what was there, and flushes the folder. */
    public void commit() throws IOException {
        if (done) {
            throw new IllegalStateException(target + ": committed or closed already");
        }
        channel.force(true);
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
        done = true;
        channel.close();
        syncFolder(folder(target));
    }

    /** Removes the temporary file unless it was committed. */
    @Override
    public void close() throws IOException {
        if (done) {
            return;
        }
        done = true;
        try {
            channel.close();
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    private static Path folder(Path target) {
        return target.toAbsolutePath().getParent();
    }

    private static String prefix(Path target) {
        return "." + target.getFileName() + MARK;
    }

    private static void clearStale(Path folder, String prefix) throws IOException {
        try (DirectoryStream<Path> stream = Files.newDirectoryStream(folder, p -> p.getFileName().toString().startsWith(prefix))) {
            for (Path path : stream) {
                if (stale(path)) {
                    Files.deleteIfExists(path);
                }
            }
        }
    }

    /** Nobody holds its lock: its writer is gone. */
    private static boolean stale(Path path) throws IOException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE);
                FileLock lock = channel.tryLock()) {
            return lock != null;
        } catch (OverlappingFileLockException e) {
            return false; // a writer in this process
        } catch (NoSuchFileException e) {
            return false; // committed meanwhile
        }
    }

    private static void syncFolder(Path folder) throws IOException {
        // Windows has no handle on a folder to flush.
        if (java.io.File.separatorChar == '/') {
            try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
                channel.force(true);
            }
        }
    }
}
