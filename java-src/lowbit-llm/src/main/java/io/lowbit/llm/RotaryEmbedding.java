package io.lowbit.llm;

import java.util.Arrays;

/**
 * Rotary positions (RoPE) as Hugging Face applies them: element i of a head turns with element i + headDim/2 by the
 * angle position · θ^(−2i/headDim). Angles are rounded to f32 as transformers rounds them.
 */
final class RotaryEmbedding {
    private final float[] frequencies;
    private float[] cos = {};
    private float[] sin = {};

    RotaryEmbedding(int headDim, double theta, RopeScaling scaling) {
        frequencies = new float[headDim / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = (float) scaling.scale(Math.pow(theta, -2.0 * i / headDim));
        }
    }

    /** Radians a position, one for each pair of elements. */
    float[] frequencies() {
        return frequencies.clone();
    }

    /** Makes positions below {@code count} ready; to be called before {@link #rotate}, by one thread. */
    void prepare(int count) {
        int half = frequencies.length;
        int ready = half == 0 ? count : cos.length / half;
        if (count <= ready) {
            return;
        }
        cos = Arrays.copyOf(cos, count * half);
        sin = Arrays.copyOf(sin, count * half);
        for (int position = ready; position < count; position++) {
            for (int i = 0; i < half; i++) {
                double angle = position * frequencies[i];
                cos[position * half + i] = (float) Math.cos(angle);
                sin[position * half + i] = (float) Math.sin(angle);
            }
        }
    }

    /** Cosines of the positions made ready, {@code [position, headDim / 2]}. */
    float[] cosines() {
        return cos;
    }

    /** Sines, likewise. */
    float[] sines() {
        return sin;
    }

    /** Rotates the head at x[at .. at+headDim) in place. */
    void rotate(float[] x, int at, int position) {
        int half = frequencies.length;
        int angles = position * half;
        for (int i = 0; i < half; i++) {
            float c = cos[angles + i];
            float s = sin[angles + i];
            float a = x[at + i];
            float b = x[at + half + i];
            x[at + i] = a * c - b * s;
            x[at + half + i] = b * c + a * s;
        }
    }
}
