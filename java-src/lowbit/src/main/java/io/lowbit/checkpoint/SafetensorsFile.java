package io.lowbit.checkpoint;

import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A safetensors file, open for reading. Tensors are views of the file's bytes (read-only, possibly unaligned) and live
 * until {@link #close()}; any thread may read and close.
 *
 * <p>Strict: whatever the format does not allow is refused with a {@link CheckpointException}, and so is what readers
 * disagree about (a name twice, white space before the header).
 */
public final class SafetensorsFile implements AutoCloseable {
    private final MappedFile file;
    private final Map<String, Tensor> tensors;
    private final Map<String, String> metadata;

    private SafetensorsFile(MappedFile file, Map<String, Tensor> tensors, Map<String, String> metadata) {
        this.file = file;
        this.tensors = tensors;
        this.metadata = metadata;
    }

    /** Opens a file mapped, under the default limits. */
    public static SafetensorsFile open(Path path) throws IOException {
        return open(path, SafetensorsLimits.DEFAULT, FileAccess.MAP);
    }

    /**
     * Opens a file.
     *
     * @throws CheckpointException when it is not a well-formed safetensors file
     * @throws IOException when it cannot be read
     */
    public static SafetensorsFile open(Path path, SafetensorsLimits limits, FileAccess access) throws IOException {
        MappedFile file = MappedFile.open(path, access);
        try {
            SafetensorsHeader header = MappedFile.guard(path, () -> SafetensorsHeader.read(path.toString(), file.data(), limits));
            MemorySegment data = file.data().asSlice(header.dataStart());
            Map<String, Tensor> tensors = LinkedHashMap.newLinkedHashMap(header.entries().size());
            for (SafetensorsHeader.Entry e : header.entries()) {
                tensors.put(e.name(), new Tensor(e.spec().dtype(), e.spec().shape(), data.asSlice(e.begin(), e.end() - e.begin())));
            }
            return new SafetensorsFile(file, Collections.unmodifiableMap(tensors), header.metadata());
        } catch (RuntimeException | OutOfMemoryError e) {
            file.close();
            throw e;
        }
    }

    public Path path() {
        return file.path();
    }

    /** All tensors by name, in the order of their bytes in the file. */
    public Map<String, Tensor> tensors() {
        return tensors;
    }

    /** The header's {@code __metadata__}; empty where there is none. */
    public Map<String, String> metadata() {
        return metadata;
    }

    /** True where the file holds a tensor of this name. */
    public boolean has(String name) {
        return tensors.containsKey(name);
    }

    /**
     * A tensor by name.
     *
     * @throws CheckpointException where there is none, naming some that there are
     */
    public Tensor tensor(String name) {
        Tensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new CheckpointException(Fault.MISSING, path().toString(), "no tensor " + CheckpointException.quote(name),
                    Names.cure(name, tensors.keySet()));
        }
        return tensor;
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
