package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.function.Supplier;

/**
 * A file's bytes as one memory segment, and the care that takes: a mapped file that is cut short later makes reads
 * fail with {@link InternalError}.
 */
final class MappedFile implements AutoCloseable {
    private static final byte[] LFS = "version https://git-lfs".getBytes(java.nio.charset.StandardCharsets.US_ASCII);

    private final Path path;
    private final Arena arena;
    private final MemorySegment data;
    private final FileTime modified;

    private MappedFile(Path path, Arena arena, MemorySegment data, FileTime modified) {
        this.path = path;
        this.arena = arena;
        this.data = data;
        this.modified = modified;
    }

    /**
     * Opens a file whole.
     *
     * @throws CheckpointException for a folder, a Git LFS pointer or a file that changes size meanwhile
     */
    static MappedFile open(Path path, FileAccess access) throws IOException {
        BasicFileAttributes attributes = Files.readAttributes(path, BasicFileAttributes.class);
        if (!attributes.isRegularFile()) {
            throw new CheckpointException(Fault.UNSUPPORTED, path.toString(), attributes.isDirectory() ? "is a folder" : "is not a regular file",
                    "give a file");
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            long size = channel.size();
            refuseLfsPointer(path, channel);
            Arena arena = Arena.ofShared();
            try {
                MemorySegment data = access == FileAccess.MAP
                        ? channel.map(FileChannel.MapMode.READ_ONLY, 0, size, arena)
                        : copy(path, channel, arena.allocate(size, 64));
                if (channel.size() != size) {
                    throw changed(path, "its size changed from " + size + " to " + channel.size() + " bytes while it was opened", null);
                }
                return new MappedFile(path, arena, data.asReadOnly(), attributes.lastModifiedTime());
            } catch (IOException | RuntimeException | OutOfMemoryError e) {
                arena.close();
                throw e;
            }
        }
    }

    Path path() {
        return path;
    }

    MemorySegment data() {
        return data;
    }

    /** The same bytes as {@code part} of {@link #data}, mapped anew: what was read of them goes when {@code arena} is closed. */
    MemorySegment window(MemorySegment part, Arena arena) throws IOException {
        if (part.byteSize() == 0 || !part.isMapped()) {
            return part;
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            if (channel.size() != data.byteSize()) {
                throw changed(path, "its size changed from " + data.byteSize() + " to " + channel.size() + " bytes while it was read", null);
            }
            return channel.map(FileChannel.MapMode.READ_ONLY, part.address() - data.address(), part.byteSize(), arena);
        }
    }

    /** Makes sure that the file is still the one that was opened. */
    void verifyUnchanged() throws IOException {
        BasicFileAttributes now = Files.readAttributes(path, BasicFileAttributes.class);
        if (now.size() != data.byteSize()) {
            throw changed(path, "its size changed from " + data.byteSize() + " to " + now.size() + " bytes while it was read", null);
        }
        if (!now.lastModifiedTime().equals(modified)) {
            throw changed(path, "it was written to while it was read", null);
        }
    }

    /** Runs {@code work}, which reads mapped bytes of {@code path}; a read beyond a file cut short becomes a typed failure. */
    static <T> T guard(Path path, Supplier<T> work) {
        try {
            return work.get();
        } catch (InternalError e) {
            throw changed(path, "it was cut short or its disk failed while it was read", e);
        }
    }

    /** Frees the mapping; a touch of its tensors afterwards is an {@link IllegalStateException}. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }

    private static CheckpointException changed(Path path, String why, Throwable cause) {
        return new CheckpointException(Fault.CHANGED, path.toString(), why, "restore the file and leave it alone meanwhile", cause);
    }

    private static MemorySegment copy(Path path, FileChannel channel, MemorySegment into) throws IOException {
        long at = 0;
        while (at < into.byteSize()) {
            long part = Math.min(1 << 26, into.byteSize() - at);
            int got = channel.read(into.asSlice(at, part).asByteBuffer(), at);
            if (got < 0) {
                throw changed(path, "it ended at byte " + at + " of " + into.byteSize(), null);
            }
            at += got;
        }
        return into;
    }

    private static void refuseLfsPointer(Path path, FileChannel channel) throws IOException {
        ByteBuffer start = ByteBuffer.allocate(LFS.length);
        while (start.hasRemaining() && channel.read(start, start.position()) >= 0) {
            // until the pointer's first words are there or the file ends
        }
        if (!start.hasRemaining() && java.util.Arrays.equals(start.array(), LFS)) {
            throw new CheckpointException(Fault.LFS_POINTER, path.toString(), "is a Git LFS pointer of " + channel.size()
                    + " bytes, not the file itself", "run 'git lfs pull' in its folder or download the file again");
        }
    }
}
