package io.lowbit.llm;

import io.lowbit.tensor.Tensor;

/** Computes the passes of one {@link Session}, which checks every argument beforehand: one implementation for each kind of memory. */
interface Decoder extends AutoCloseable {
    /**
     * Takes {@code rows} tokens, {@code tokens[from]} first, through the first {@code layers} layers and the norm after them,
     * as positions {@code position} and on. Keys and values of earlier positions are there, those of later ones forgotten.
     */
    void pass(int[] tokens, int from, int rows, int position, int layers);

    /**
     * Scores of every token to follow rows {@code from .. from+count} of the last pass.
     *
     * @return F32 {@code [count, vocabulary]}, a view that the next call overwrites
     */
    Tensor logits(int from, int count);

    /** Copies the first floats of the residual stream {@code [rows, hiddenSize]}, as the last pass left it. */
    void residual(float[] to);

    /** Takes {@code hidden} {@code [rows, hiddenSize]}, from position 0 on, through one layer and puts its output in the same place. */
    void throughLayer(int layer, float[] hidden, int rows);

    /** Frees its memory. */
    @Override
    void close();
}
