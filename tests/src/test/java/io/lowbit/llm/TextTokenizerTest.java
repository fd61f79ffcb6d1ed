package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TextTokenizerTest {
    private static TextTokenizer tokenizer;

    @BeforeAll
    static void load() {
        tokenizer = TextTokenizer.load(Models.DEMO);
    }

    @AfterAll
    static void close() {
        tokenizer.close();
    }

    @Test
    void tokensOfTheTestDocumentsAreTheReferences() throws IOException {
        List<String> documents = TextCorpus.read(Models.DEMO.resolve("test.jsonl"));
        assertEquals(50, documents.size());
        assertArrayEquals(Models.stream(), Perplexity.stream(ConfigReader.read(Models.DEMO), tokenizer, documents));
    }

    @Test
    void longTextsAreNotCut() {
        assertTrue(tokenizer.encode("word ".repeat(2000)).length >= 2000);
        assertTrue(tokenizer.encodePrompt("word ".repeat(2000)).length >= 2000);
    }

    @Test
    void streamedTextIsTheWholeTextAndNeverHalfACharacter() {
        String text = "Naïve wörld — 世界 🙂🙃 déjà vu, call me Ishmael.\n  Two spaces.";
        int[] tokens = tokenizer.encode(text);
        assertTrue(tokens.length > 20 && tokens.length > text.length() / 4, "bytes of rare characters are tokens of their own");
        List<String> parts = new ArrayList<>();
        TextTokenizer.Stream stream = tokenizer.stream(parts::add);
        for (int token : tokens) {
            stream.accept(token);
        }
        stream.finish();
        assertEquals(tokenizer.decode(tokens), String.join("", parts));
        assertEquals(text, String.join("", parts));
        assertTrue(parts.size() > 10, "comes in parts: " + parts);
        parts.forEach(part -> assertTrue(!part.contains("\uFFFD"), part));
    }

    @Test
    void anUnfinishedCharacterComesAtTheEnd() {
        int[] tokens = tokenizer.encode("世");
        List<String> parts = new ArrayList<>();
        TextTokenizer.Stream stream = tokenizer.stream(parts::add);
        stream.accept(tokens[0]);
        assertEquals(List.of(), parts);
        stream.finish();
        assertTrue(String.join("", parts).startsWith("\uFFFD"), parts.toString());
    }

    @Test
    void faultsAreOneLineWithTheCure(@TempDir Path folder) throws IOException {
        ModelException missing = assertThrows(ModelException.class, () -> TextTokenizer.load(folder));
        assertEquals(folder + ": no tokenizer.json; fetch it with the model", missing.getMessage());
        Files.writeString(folder.resolve("tokenizer.json"), "{\"version\": ");
        ModelException malformed = assertThrows(ModelException.class, () -> TextTokenizer.load(folder));
        assertTrue(malformed.getMessage().startsWith(folder.resolve("tokenizer.json") + ": "), malformed.getMessage());
        assertEquals(1, malformed.getMessage().lines().count());
        Files.writeString(folder.resolve("text.jsonl"), "{\"text\": \"one\"}\n\n{\"txt\": \"two\"}\n");
        IllegalArgumentException line = assertThrows(IllegalArgumentException.class, () -> TextCorpus.read(folder.resolve("text.jsonl")));
        assertTrue(line.getMessage().contains("line 3"), line.getMessage());
    }
}
