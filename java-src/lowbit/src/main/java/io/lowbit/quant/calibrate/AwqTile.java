package io.lowbit.quant.calibrate;

import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Half;

/** One worker's tile of rows, {@code [column][lane]}, rounded on AutoAWQ's grid: symmetric absmax / 7, asymmetric (max − min) / 15. */
final class AwqTile {
    static final int LANES = 64;
    /** Parts of the range that the clip search leaves away: i / 20 for i = 0 … 9. */
    private static final int CLIP_GRID = 20;
    private static final int CLIP_STEPS = 10;

    private final Scheme.Int4 scheme;
    final float[][] w;
    private final float[][] delta;
    private final float[] low = new float[LANES];
    private final float[] high = new float[LANES];
    private final float[] bestLow = new float[LANES];
    private final float[] bestHigh = new float[LANES];
    final float[] scale = new float[LANES];
    final float[] zero = new float[LANES];
    private final float[] scratch = new float[LANES];

    AwqTile(int k, Scheme.Int4 scheme) {
        this.scheme = scheme;
        this.w = new float[k][LANES];
        this.delta = new float[k][LANES];
    }

    /** Adds each lane's δ·H·δᵀ for δ = Q(w·s)/s − w over all columns to {@code out}. */
    void error(OutputError error, float[] s, int groupSize, double[] out) {
        int k = w.length;
        for (int from = 0; from < k; from += groupSize) {
            int to = Math.min(k, from + groupSize);
            range(s, from, to);
            grid();
            deltas(s, from, to);
        }
        error.add(delta, 0, k, scratch, out);
    }

    /** Adds each lane's w·H·wᵀ. */
    void signal(OutputError error, double[] out) {
        error.add(w, 0, w.length, scratch, out);
    }

    /** Sets the grid of one group: the whole range, or the clipped one of least output error within the group. */
    void choose(OutputError error, float[] s, int from, int to) {
        range(s, from, to);
        if (error != null) {
            clip(error, s, from, to);
        }
        grid();
    }

    private void clip(OutputError error, float[] s, int from, int to) {
        float[] wholeLow = low.clone();
        float[] wholeHigh = high.clone();
        double[] least = new double[LANES];
        double[] loss = new double[LANES];
        for (int step = 0; step < CLIP_STEPS; step++) {
            float part = 1f - (float) step / CLIP_GRID;
            for (int r = 0; r < LANES; r++) {
                low[r] = wholeLow[r] * part;
                high[r] = wholeHigh[r] * part;
            }
            grid();
            deltas(s, from, to);
            java.util.Arrays.fill(loss, 0);
            error.add(delta, from, to, scratch, loss);
            for (int r = 0; r < LANES; r++) {
                if (step == 0 || loss[r] < least[r]) {
                    least[r] = loss[r];
                    bestLow[r] = low[r];
                    bestHigh[r] = high[r];
                }
            }
        }
        System.arraycopy(bestLow, 0, low, 0, LANES);
        System.arraycopy(bestHigh, 0, high, 0, LANES);
    }

    private void range(float[] s, int from, int to) {
        float[] first = w[from];
        for (int r = 0; r < LANES; r++) {
            low[r] = first[r] * s[from];
            high[r] = low[r];
        }
        for (int c = from + 1; c < to; c++) {
            float[] column = w[c];
            for (int r = 0; r < LANES; r++) {
                low[r] = Math.min(low[r], column[r] * s[c]);
                high[r] = Math.max(high[r], column[r] * s[c]);
            }
        }
    }

    private void grid() {
        for (int r = 0; r < LANES; r++) {
            float span = scheme.symmetric() ? Math.max(-low[r], high[r]) / 7f : (high[r] - low[r]) / 15f;
            float rounded = round(Math.max(span, 1e-5f));
            scale[r] = rounded;
            zero[r] = scheme.symmetric() ? 8f : Math.clamp((float) Math.rint(-low[r] / rounded), 0f, 15f);
        }
    }

    private float round(float value) {
        DType type = scheme.scaleType();
        float rounded = type == DType.F16 ? Half.f16ToFloat(Half.floatToF16(value)) : type == DType.BF16 ? Half.bf16ToFloat(Half.floatToBf16(value)) : value;
        if (Float.isInfinite(rounded)) {
            throw new IllegalArgumentException("an INT4 scale of " + value + " does not fit " + type + "; use F32 scales");
        }
        return rounded;
    }

    /** The code 0..15 of each lane of column {@code c}, into {@code codes}. */
    void codes(float[] s, int c, float[] codes) {
        float[] column = w[c];
        float factor = s[c];
        for (int r = 0; r < LANES; r++) {
            codes[r] = Math.clamp((float) Math.rint(column[r] * factor / scale[r]) + zero[r], 0f, 15f);
        }
    }

    private void deltas(float[] s, int from, int to) {
        for (int c = from; c < to; c++) {
            float[] column = w[c];
            float[] d = delta[c];
            float factor = s[c];
            for (int r = 0; r < LANES; r++) {
                float code = Math.clamp((float) Math.rint(column[r] * factor / scale[r]) + zero[r], 0f, 15f);
                d[r] = (code - zero[r]) * scale[r] / factor - column[r];
            }
        }
    }
}
