package io.lowbit.llm;

/**
 * Causal grouped-query attention for a block of neighbouring rows and one key/value head: the query heads that share
 * the head are further rows of the same products.
 */
final class Attention {
    private final Matmul matmul;
    private final int headDim;
    private final float scale;

    Attention(Matmul matmul, int headDim) {
        this.matmul = matmul;
        this.headDim = headDim;
        this.scale = (float) (1 / Math.sqrt(headDim));
    }

    /** One worker's memory; it grows with the context. */
    static final class Scratch {
        private float[] scores = {};

        private float[] scores(int size) {
            if (scores.length < size) {
                scores = new float[size + size / 2];
            }
            return scores;
        }
    }

    /**
     * out[r] = softmax(q[r]·Kᵀ/√headDim)·V over the positions that row r may see: up to its own, and no more than
     * {@code window} of them.
     *
     * @param q {@code [rows·group, headDim]}, rotated; row r·group + g belongs to position {@code first + r}
     * @param group query heads for this key/value head
     * @param window how many positions a row sees, its own included; {@link Integer#MAX_VALUE} for all
     * @param out {@code [rows·group, cache.valueStride]}, overwritten
     */
    void attend(float[] q, int rows, int group, int first, int window, KvCache cache, float[] out, Scratch scratch) {
        // the block's rows see keys [from, to) between them; from is a tile's start so that every product is aligned
        int from = Math.max(0, first - window + 1) / Matmul.TILE * Matmul.TILE;
        int to = first + rows;
        int width = Matmul.padded(to - from);
        int heads = rows * group;
        float[] scores = scratch.scores(heads * width);
        matmul.multiply(q, headDim, heads, headDim, cache.keys, from, cache.keyStride, width, scores, width);
        for (int h = 0; h < heads; h++) {
            int position = first + h / group;
            int low = h * width + Math.max(0, position - window + 1) - from;
            int high = h * width + position + 1 - from;
            softmax(scores, h * width, low, high, h * width + to - from);
        }
        matmul.multiply(scores, width, heads, to - from, cache.values, from * cache.valueStride, cache.valueStride, cache.valueStride, out,
                cache.valueStride);
    }

    /** Turns x[low..high) into probabilities and the rest of x[start..end) into zeros. */
    private void softmax(float[] x, int start, int low, int high, int end) {
        for (int j = start; j < low; j++) {
            x[j] = 0f;
        }
        for (int j = low; j < high; j++) {
            x[j] *= scale;
        }
        ArrayMath.expShifted(x, ArrayMath.max(x, low, high), x, low, high);
        float inverse = (float) (1 / ArrayMath.sum(x, low, high));
        for (int j = low; j < high; j++) {
            x[j] *= inverse;
        }
        for (int j = high; j < end; j++) {
            x[j] = 0f;
        }
    }
}
