package io.lowbit.cli.demo;

import io.lowbit.checkpoint.json.JsonReader;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The model in the jar, unpacked to a temporary folder as long as this is open. */
public final class DemoModel implements AutoCloseable {
    private static final List<String> FILES = List.of("config.json", "model.safetensors", "tokenizer.json", "test.jsonl");

    private final Path folder;

    private DemoModel(Path folder) {
        this.folder = folder;
    }

    /** Unpacks the model. */
    public static DemoModel unpack() throws IOException {
        DemoModel model = new DemoModel(Files.createTempDirectory("lowbit-demo"));
        try {
            for (String name : FILES) {
                try (InputStream in = DemoModel.class.getResourceAsStream("/io/lowbit/cli/demo-model/" + name)) {
                    if (in == null) {
                        throw new FileNotFoundException("demo-model/" + name + " is not in the jar; build it again");
                    }
                    Files.copy(in, model.folder.resolve(name));
                }
            }
            return model;
        } catch (IOException | RuntimeException e) {
            model.close();
            throw e;
        }
    }

    /** A Hugging Face folder. */
    public Path folder() {
        return folder;
    }

    /** The documents of the test text, which training never saw. */
    public List<String> documents() throws IOException {
        return Files.readAllLines(folder.resolve("test.jsonl")).stream()
                .filter(line -> !line.isBlank())
                .map(line -> JsonReader.parseObject(line).text("text"))
                .toList();
    }

    @Override
    public void close() throws IOException {
        for (String name : FILES) {
            Files.deleteIfExists(folder.resolve(name));
        }
        Files.deleteIfExists(folder);
    }
}
