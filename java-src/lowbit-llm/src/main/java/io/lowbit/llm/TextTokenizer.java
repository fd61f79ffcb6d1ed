package io.lowbit.llm;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Consumer;

/** Text to tokens and back, by a model's {@code tokenizer.json}. */
public final class TextTokenizer implements AutoCloseable {
    static {
        // Left alone, the library reports its use to its makers, and where there is a GPU it downloads another native
        // part. Tokens need neither.
        prefer("OPT_OUT_TRACKING", "true");
        prefer("RUST_FLAVOR", "cpu");
    }

    private final HuggingFaceTokenizer tokenizer;

    private TextTokenizer(HuggingFaceTokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    private static void prefer(String property, String value) {
        if (System.getenv(property) == null && System.getProperty(property) == null) {
            System.setProperty(property, value);
        }
    }

    /**
     * Reads {@code folder/tokenizer.json}.
     *
     * @throws ModelException when it is missing or malformed
     */
    public static TextTokenizer load(Path folder) {
        Path file = folder.resolve("tokenizer.json");
        if (!Files.isRegularFile(file)) {
            throw new ModelException(folder + ": no tokenizer.json; fetch it with the model");
        }
        try {
            // the library cuts texts at 512 tokens unless told not to
            return new TextTokenizer(HuggingFaceTokenizer.newInstance(file, Map.of("truncation", "false", "addSpecialTokens", "false")));
        } catch (IOException | RuntimeException e) {
            throw new ModelException(file + ": " + firstLine(e) + "; fetch the file again", e);
        }
    }

    /** The tokens of {@code text}, without any that open or end a document. */
    public int[] encode(String text) {
        return encode(text, false);
    }

    /** The tokens of {@code text} with those that the model's tokenizer puts around it, as transformers does by default. */
    public int[] encodePrompt(String text) {
        return encode(text, true);
    }

    private int[] encode(String text, boolean special) {
        long[] ids = tokenizer.encode(text, special, false).getIds();
        int[] tokens = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            tokens[i] = Math.toIntExact(ids[i]);
        }
        return tokens;
    }

    /** The text of {@code tokens}; special tokens give nothing. */
    public String decode(int... tokens) {
        long[] ids = new long[tokens.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = tokens[i];
        }
        return tokenizer.decode(ids, true);
    }

    /** A decoder of one stream of tokens that hands text on as soon as its characters are whole. */
    public Stream stream(Consumer<String> sink) {
        return new Stream(sink);
    }

    /**
     * Text of tokens that arrive one by one. A character may span tokens, and a token's text may depend on the one
     * before, so text is taken from the decoded tail as a whole.
     */
    public final class Stream {
        private final Consumer<String> sink;
        private int[] tail = new int[16];
        private int count;
        /** Length of the tail's text that the sink has. */
        private int sent;

        private Stream(Consumer<String> sink) {
            this.sink = sink;
        }

        /** Takes one token. */
        public void accept(int token) {
            if (count == tail.length) {
                tail = java.util.Arrays.copyOf(tail, 2 * count);
            }
            tail[count++] = token;
            String text = text();
            // U+FFFD: the bytes so far end within a character
            if (text.endsWith("\uFFFD")) {
                return;
            }
            emit(text);
            // the last token stays as the context of the next
            tail[0] = tail[count - 1];
            count = 1;
            sent = text().length();
        }

        /** Hands on what is left when the stream ends, incomplete characters as U+FFFD. */
        public void finish() {
            emit(text());
            count = 0;
            sent = 0;
        }

        private String text() {
            return decode(java.util.Arrays.copyOf(tail, count));
        }

        private void emit(String text) {
            if (text.length() > sent) {
                sink.accept(text.substring(sent));
                sent = text.length();
            }
        }
    }

    private static String firstLine(Throwable e) {
        String message = String.valueOf(e.getMessage());
        int end = message.indexOf('\n');
        return end < 0 ? message : message.substring(0, end);
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
