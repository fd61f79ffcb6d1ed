package io.lowbit.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.stream.Stream;

/** What lies beside a model's weights and goes with them: tokenizer, licence and the like. */
final class Companions {
    private Companions() {}

    /** Copies all that is neither weights nor configuration of them from the model's folder; nothing for single files. */
    static void copy(Checkpoint in, Path to) throws IOException {
        if (in.kind() != Checkpoint.Kind.SAFETENSORS_FOLDER) {
            return;
        }
        Path folder = Files.isDirectory(in.path()) ? in.path() : in.path().toAbsolutePath().getParent();
        List<Path> files;
        try (Stream<Path> list = Files.list(folder)) {
            files = list.filter(Files::isRegularFile).sorted().toList();
        }
        for (Path file : files) {
            String name = file.getFileName().toString();
            boolean weights = name.matches(".*\\.(safetensors|bin|pt|pth|onnx|gguf|h5|msgpack)|.*\\.index\\.json|config\\.json|\\..*");
            if (!weights && !SideConfig.NAMES.contains(name)) {
                Files.copy(file, to.resolve(name), StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }
}
