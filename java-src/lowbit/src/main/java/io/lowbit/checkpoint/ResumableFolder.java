package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonWriter;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A model's folder in the making: {@code .NAME.lowbit-part} beside the final name, to which it is renamed when whole. A
 * run that is killed leaves it; the next run of the same job keeps the shards that are whole and makes the others.
 */
final class ResumableFolder implements AutoCloseable {
    private static final String JOURNAL = ".lowbit-job.json";
    private static final String LOCK = ".lowbit-lock";

    private final Path target;
    private final Path part;
    private final FileChannel lock;
    private boolean committed;
    private boolean keep;

    private ResumableFolder(Path target, Path part, FileChannel lock) {
        this.target = target;
        this.part = part;
        this.lock = lock;
    }

    /**
     * Begins or goes on.
     *
     * @param job says what is made out of what; another one starts afresh
     * @throws FileAlreadyExistsException where the final folder is there and not empty
     */
    static ResumableFolder open(Path out, String job) throws IOException {
        Path target = out.toAbsolutePath().normalize();
        Path parent = target.getParent();
        if (parent == null || !Files.isDirectory(parent)) {
            throw new NoSuchFileException(String.valueOf(parent));
        }
        if (Files.exists(target)) {
            try (Stream<Path> list = Files.isDirectory(target) ? Files.list(target) : Stream.of(target)) {
                if (list.findAny().isPresent()) {
                    throw new FileAlreadyExistsException(out.toString());
                }
            }
        }
        Path part = parent.resolve("." + target.getFileName() + ".lowbit-part");
        Files.createDirectories(part);
        FileChannel channel = FileChannel.open(part.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        if (!locked(channel)) {
            channel.close();
            throw new java.nio.file.FileSystemException(part.toString(), null, "another run of lowbit is making this folder; wait for it or choose another name");
        }
        ResumableFolder folder = new ResumableFolder(target, part, channel);
        try {
            if (!job.equals(folder.journal())) {
                folder.clear();
                AtomicFile.write(part.resolve(JOURNAL), JsonWriter.write(Map.of("job", job), JsonWriter.Style.COMPACT).getBytes(StandardCharsets.UTF_8));
            }
            return folder;
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private static boolean locked(FileChannel channel) throws IOException {
        try {
            FileLock lock = channel.tryLock();
            return lock != null;
        } catch (OverlappingFileLockException e) {
            return false;
        }
    }

    private String journal() throws IOException {
        Path file = part.resolve(JOURNAL);
        if (!Files.exists(file)) {
            return null;
        }
        try {
            return JsonReader.parseObject(Files.readAllBytes(file)).text("job");
        } catch (JsonException e) {
            return null;
        }
    }

    private void clear() throws IOException {
        List<Path> files;
        try (Stream<Path> list = Files.list(part)) {
            files = list.filter(p -> !p.getFileName().toString().equals(LOCK)).toList();
        }
        for (Path file : files) {
            Files.delete(file);
        }
    }

    /** Where files are written until {@link #commit()}. */
    Path folder() {
        return part;
    }

    /** True where a file of an earlier run is there: it was renamed to its name when whole. */
    boolean has(String name) {
        return Files.exists(part.resolve(name));
    }

    /** What has been made so far is worth keeping: {@link #close()} without a commit leaves it. */
    void keep() {
        keep = true;
    }

    /** Renames the folder to its final name. */
    void commit() throws IOException {
        Files.deleteIfExists(part.resolve(JOURNAL));
        Files.deleteIfExists(part.resolve(LOCK));
        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
        committed = true;
        lock.close();
    }

    @Override
    public void close() throws IOException {
        if (committed) {
            return;
        }
        if (!keep) {
            try (Stream<Path> walk = Files.walk(part)) {
                for (Path path : walk.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(path);
                }
            }
        }
        lock.close();
    }
}
