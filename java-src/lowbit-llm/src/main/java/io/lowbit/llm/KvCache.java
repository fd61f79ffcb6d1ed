package io.lowbit.llm;

import java.util.Arrays;

/**
 * Keys and values of the positions seen so far, for one layer's key/value head. Keys lie transposed, {@code [headDim,
 * stride]}, so that scores are a product without a horizontal sum; values lie {@code [position, padded headDim]}.
 */
final class KvCache {
    final int headDim;
    final int valueStride;
    float[] keys = {};
    float[] values = {};
    int keyStride;

    KvCache(int headDim) {
        this.headDim = headDim;
        this.valueStride = Matmul.padded(headDim);
    }

    /** Makes room for positions below {@code count}, at least doubling what there was. */
    void reserve(int count) {
        if (count <= keyStride) {
            return;
        }
        int stride = Matmul.padded(Math.max(count, 2 * keyStride));
        float[] wider = new float[Math.multiplyExact(headDim, stride)];
        for (int d = 0; d < headDim; d++) {
            System.arraycopy(keys, d * keyStride, wider, d * stride, keyStride);
        }
        values = Arrays.copyOf(values, Math.multiplyExact(stride, valueStride));
        keys = wider;
        keyStride = stride;
    }

    /** Stores the key and the value of {@code position}. */
    void put(int position, float[] key, int keyAt, float[] value, int valueAt) {
        for (int d = 0; d < headDim; d++) {
            keys[d * keyStride + position] = key[keyAt + d];
        }
        System.arraycopy(value, valueAt, values, position * valueStride, headDim);
    }
}
