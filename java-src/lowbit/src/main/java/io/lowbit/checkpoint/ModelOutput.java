package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Stream;

/**
 * Where a model is written: a {@code .safetensors} file, or a folder that appears under its name whole, with
 * {@code config.json} and, of a folder read, everything that is no weights.
 */
final class ModelOutput implements AutoCloseable {
    private static final String MARK = ".lowbit-tmp-";

    private final Path target;
    private final Path temporary;
    private boolean done;

    private ModelOutput(Path target, Path temporary) {
        this.target = target;
        this.temporary = temporary;
    }

    /** @throws FileAlreadyExistsException for a folder that is there and not empty */
    static ModelOutput create(Path out) throws IOException {
        if (out.toString().endsWith(".safetensors")) {
            return new ModelOutput(out, null);
        }
        Path parent = out.toAbsolutePath().normalize().getParent();
        if (parent == null || !Files.isDirectory(parent)) {
            throw new NoSuchFileException(String.valueOf(parent));
        }
        if (Files.exists(out)) {
            if (!Files.isDirectory(out)) {
                throw new FileAlreadyExistsException(out.toString());
            }
            try (Stream<Path> list = Files.list(out)) {
                if (list.findAny().isPresent()) {
                    throw new FileAlreadyExistsException(out.toString());
                }
            }
        }
        String prefix = "." + out.toAbsolutePath().normalize().getFileName() + MARK;
        clearStale(parent, prefix);
        Path temporary = parent.resolve(prefix + ProcessHandle.current().pid() + "-" + Long.toHexString(ThreadLocalRandom.current().nextLong()));
        return new ModelOutput(out.toAbsolutePath().normalize(), Files.createDirectory(temporary));
    }

    boolean isFolder() {
        return temporary != null;
    }

    /** The safetensors file to write. */
    Path weights() {
        return isFolder() ? temporary.resolve("model.safetensors") : target;
    }

    void config(Map<String, ?> config) throws IOException {
        AtomicFile.write(temporary.resolve("config.json"), (JsonWriter.write(config, JsonWriter.Style.PRETTY) + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** Tokenizer, licence and the like. */
    void copyCompanions(Path folder) throws IOException {
        List<Path> files;
        try (Stream<Path> list = Files.list(folder)) {
            files = list.filter(Files::isRegularFile).sorted().toList();
        }
        for (Path file : files) {
            String name = file.getFileName().toString();
            boolean weights = name.matches(".*\\.(safetensors|bin|pt|pth|onnx|gguf|h5|msgpack)|.*\\.index\\.json|config\\.json|\\..*");
            if (!weights) {
                Files.copy(file, temporary.resolve(name));
            }
        }
    }

    void commit() throws IOException {
        if (isFolder()) {
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
        }
        done = true;
    }

    @Override
    public void close() throws IOException {
        if (!done && isFolder()) {
            delete(temporary);
        }
    }

    /** Folders of processes that are gone. */
    private static void clearStale(Path parent, String prefix) throws IOException {
        List<Path> old;
        try (Stream<Path> list = Files.list(parent)) {
            old = list.filter(p -> p.getFileName().toString().startsWith(prefix)).toList();
        }
        for (Path path : old) {
            String pid = path.getFileName().toString().substring(prefix.length()).split("-")[0];
            if (pid.matches("\\d{1,18}") && ProcessHandle.of(Long.parseLong(pid)).isEmpty()) {
                delete(path);
            }
        }
    }

    private static void delete(Path folder) throws IOException {
        List<Path> all;
        try (Stream<Path> walk = Files.walk(folder)) {
            all = walk.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path path : all) {
            Files.deleteIfExists(path);
        }
    }
}
