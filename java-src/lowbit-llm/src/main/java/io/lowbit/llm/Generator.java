package io.lowbit.llm;

import java.util.Arrays;
import java.util.function.IntConsumer;

/** Continues a prompt, one token after another. */
public final class Generator {
    private Generator() {}

    /**
     * What was written.
     *
     * @param tokens the continuation; a token that ends the text is the last of them
     * @param ended true where such a token came, false where the limit did
     * @param promptTokens tokens read
     * @param promptSeconds from the call to the first token
     * @param decodeSeconds from the first token to the last
     */
    public record Result(int[] tokens, boolean ended, int promptTokens, double promptSeconds, double decodeSeconds) {
        /** Prompt tokens read a second. */
        public double promptTokensPerSecond() {
            return promptTokens / promptSeconds;
        }

        /** Tokens written a second, the first (which belongs to the prompt) not counted; NaN for fewer than two. */
        public double decodeTokensPerSecond() {
            return tokens.length < 2 ? Double.NaN : (tokens.length - 1) / decodeSeconds;
        }
    }

    /**
     * Feeds {@code prompt} to the session and writes up to {@code maxTokens} tokens.
     *
     * @param stopAtEos whether a token that ends a text ends this one
     * @param onToken called with each token as soon as it is chosen
     * @throws IllegalArgumentException when prompt and continuation do not fit into the session, or the prompt is empty
     */
    public static Result generate(LlamaModel model, Session session, int[] prompt, Sampler sampler, int maxTokens, boolean stopAtEos,
            IntConsumer onToken) {
        if (prompt.length == 0) {
            throw new IllegalArgumentException("empty prompt: expected at least one token");
        }
        if (maxTokens < 1 || prompt.length + (long) maxTokens - 1 > session.capacity() - session.length()) {
            throw new IllegalArgumentException(prompt.length + " prompt tokens and " + maxTokens + " more after " + session.length()
                    + ": the session has " + session.capacity() + " positions");
        }
        int[] written = new int[maxTokens];
        int count = 0;
        long start = System.nanoTime();
        session.append(prompt);
        int token = sampler.next(session.lastLogits());
        long first = System.nanoTime();
        int[] one = new int[1];
        boolean ended;
        while (true) {
            written[count++] = token;
            onToken.accept(token);
            ended = stopAtEos && model.config().eosTokens().contains(token);
            if (ended || count == maxTokens) {
                break;
            }
            one[0] = token;
            session.append(one);
            token = sampler.next(session.lastLogits());
        }
        long last = System.nanoTime();
        return new Result(Arrays.copyOf(written, count), ended, prompt.length, (first - start) * 1e-9, (last - first) * 1e-9);
    }
}
