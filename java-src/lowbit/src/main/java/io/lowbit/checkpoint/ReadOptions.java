package io.lowbit.checkpoint;

/**
 * How to read what files leave open.
 *
 * @param gptqZeros see {@link GptqZeros}
 */
public record ReadOptions(GptqZeros gptqZeros) {
    /** Field by field. */
    public static final ReadOptions DEFAULT = new ReadOptions(GptqZeros.FIELD);

    /**
     * How zero points come out of version-1 GPTQ words, which store them less one. The readings differ only for words that
     * hold a 15.
     */
    public enum GptqZeros {
        /** One is added to each of the eight fields, modulo 16. */
        FIELD,
        /** 0x11111111 is added to the word: undoes what GPTQModel's writer did, borrows between fields included. */
        WORD
    }
}
