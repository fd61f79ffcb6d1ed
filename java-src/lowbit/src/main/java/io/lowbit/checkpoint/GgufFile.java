package io.lowbit.checkpoint;

import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A GGUF file, open for reading. Tensors are views of the file's bytes (read-only) and live until {@link #close()}; any
 * thread may read and close.
 *
 * <p>Strict: whatever ggml's own reader refuses is refused with a {@link CheckpointException}, and so is what it lets
 * pass by wrapping around 64 bits.
 */
public final class GgufFile implements AutoCloseable {
    private final MappedFile file;
    private final GgufHeader header;
    private final Map<String, Tensor> tensors;
    private final Map<String, GgufType> types;

    private GgufFile(MappedFile file, GgufHeader header) {
        this.file = file;
        this.header = header;
        Map<String, Tensor> views = LinkedHashMap.newLinkedHashMap(header.tensors().size());
        Map<String, GgufType> kinds = LinkedHashMap.newLinkedHashMap(header.tensors().size());
        for (GgufHeader.Info info : header.tensors()) {
            views.put(info.name(), view(info, file.data().asSlice(header.dataStart() + info.begin(), info.bytes())));
            kinds.put(info.name(), info.type());
        }
        this.tensors = Collections.unmodifiableMap(views);
        this.types = Collections.unmodifiableMap(kinds);
    }

    /** Opens a file mapped. */
    public static GgufFile open(Path path) throws IOException {
        return open(path, FileAccess.MAP);
    }

    /**
     * Opens a file.
     *
     * @throws CheckpointException when it is not a well-formed GGUF file
     * @throws IOException when it cannot be read
     */
    public static GgufFile open(Path path, FileAccess access) throws IOException {
        MappedFile file = MappedFile.open(path, access);
        try {
            return MappedFile.guard(path, () -> new GgufFile(file, GgufHeader.read(path.toString(), file.data())));
        } catch (RuntimeException | OutOfMemoryError e) {
            file.close();
            throw e;
        }
    }

    /** Plain tensors as they are; blocks as U8 rows, their last dimension in bytes. */
    private static Tensor view(GgufHeader.Info info, MemorySegment data) {
        if (info.type().dtype() != null) {
            return new Tensor(info.type().dtype(), info.shape(), data);
        }
        long[] dims = info.shape().dims();
        dims[dims.length - 1] = dims[dims.length - 1] / info.type().elements() * info.type().bytes();
        return new Tensor(DType.U8, Shape.of(dims), data);
    }

    public Path path() {
        return file.path();
    }

    /** All tensors by name, in file order; those of block types as U8, rows of blocks. */
    public Map<String, Tensor> tensors() {
        return tensors;
    }

    /** How each tensor is stored. */
    public Map<String, GgufType> types() {
        return types;
    }

    /** The key-value section, in file order. */
    public Map<String, GgufValue> pairs() {
        return header.pairs();
    }

    /** Format version: 2 or 3. */
    public int version() {
        return header.version();
    }

    /** A tensor of {@link #tensors}, mapped anew into {@code arena}. */
    Tensor window(Tensor tensor, Arena arena) throws IOException {
        return new Tensor(tensor.dtype(), tensor.shape(), file.window(tensor.data(), arena));
    }

    /** Makes sure that the file was not cut, replaced or written to since it was opened. */
    public void verifyUnchanged() throws IOException {
        file.verifyUnchanged();
    }

    /** Frees the file; its tensors throw {@link IllegalStateException} from now on. A second call does nothing. */
    @Override
    public void close() {
        file.close();
    }
}
