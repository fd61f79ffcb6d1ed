package io.lowbit.llm;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Documents to measure a model on, from a JSON Lines file: one object a line with the document in {@code "text"}. */
public final class TextCorpus {
    private TextCorpus() {}

    /**
     * The documents of {@code file}, in order.
     *
     * @throws IllegalArgumentException for a line that is no such object, naming it
     */
    public static List<String> read(Path file) throws IOException {
        List<String> documents = new ArrayList<>();
        int number = 0;
        for (String line : new String(Files.readAllBytes(file), StandardCharsets.UTF_8).split("\n")) {
            number++;
            if (line.isBlank()) {
                continue;
            }
            try {
                documents.add(JsonReader.parseObject(line).text("text"));
            } catch (JsonException e) {
                throw new IllegalArgumentException(file + ": line " + number + ": " + e.getMessage()
                        + "; expected JSON Lines, each an object with a \"text\"", e);
            }
        }
        return documents;
    }
}
