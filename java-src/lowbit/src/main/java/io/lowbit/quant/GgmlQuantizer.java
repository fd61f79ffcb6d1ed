package io.lowbit.quant;

import io.lowbit.format.GgmlBlock;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Half;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * ggml's own rounding of Q4_0, Q4_1, Q8_0 and IQ4_NL, without an importance matrix, in its order and in f32: the bytes of
 * {@code ggml_quantize_chunk}. Q4_0's scale is the value of largest magnitude / −8, so that one side reaches −8.
 */
public final class GgmlQuantizer {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int BLOCK = 32;
    /** IQ4_NL: blocks below are zeros. */
    private static final float LEAST = 1e-15f;
    /** IQ4_NL: scales tried on either side. */
    private static final int TRIES = 7;

    private GgmlQuantizer() {}

    /** True where {@code scheme} is one that {@link #quantize} makes: Q4_0 is INT4 in groups of 32 with F16 scales. */
    public static boolean makes(Scheme scheme) {
        return isQ40(scheme) || scheme instanceof Scheme.Ggml g
                && (g.block() == GgmlBlock.Q4_1 || g.block() == GgmlBlock.Q8_0 || g.block() == GgmlBlock.IQ4_NL);
    }

    /** True for INT4 as Q4_0 has it. */
    public static boolean isQ40(Scheme scheme) {
        return scheme.equals(new Scheme.Int4(Grouping.group(BLOCK), true));
    }

    /**
     * Quantizes F32, F16 or BF16 weights.
     *
     * @throws NonFiniteWeightsException for NaN or infinite weights
     * @throws IllegalArgumentException for another scheme, or a K that is no multiple of 32
     */
    public static QuantizedMatrix quantize(Tensor weights, Scheme scheme, Arena arena) {
        return quantize(new WeightSource(weights, NonFinite.REJECT, 1), scheme, arena);
    }

    static QuantizedMatrix quantize(WeightSource source, Scheme scheme, Arena arena) {
        if (!makes(scheme)) {
            throw new IllegalArgumentException("Lowbit reads " + scheme.label() + " and does not quantize to it");
        }
        if (source.k() % BLOCK != 0) {
            throw new IllegalArgumentException(scheme.label() + ": K = " + source.k() + " is no multiple of its blocks of " + BLOCK);
        }
        return scheme instanceof Scheme.Ggml g ? blocks(source, g, arena) : q40(source, (Scheme.Int4) scheme, arena);
    }

    private interface Row {
        void quantize(MemorySegment x, long offset, long row);
    }

    private static void rows(WeightSource source, Row row) {
        long k = source.k();
        Parallel.run(source.n(), k, 1, source.threads(), (from, to) -> {
            try (Arena scratch = Arena.ofConfined()) {
                WeightSource.Reader reader = source.reader(scratch, k);
                for (long r = from; r < to; r++) {
                    long offset = reader.load(r * k, k);
                    row.quantize(reader.segment(), offset, r);
                }
            }
        });
    }

    private static QuantizedMatrix q40(WeightSource source, Scheme.Int4 scheme, Arena arena) {
        long k = source.k();
        Tensor codes = Tensor.allocate(arena, DType.U8, source.n(), k / 2);
        Tensor scales = Tensor.allocate(arena, DType.F16, source.n(), k / BLOCK);
        rows(source, (x, offset, row) -> {
            float[] v = new float[BLOCK];
            for (long b = 0; b < k / BLOCK; b++) {
                load(x, offset + 4 * BLOCK * b, v);
                float max = ofLargestMagnitude(v);
                float d = max / -8;
                float inverse = d != 0 ? 1f / d : 0f;
                scales.data().set(SHORT, 2 * (row * k / BLOCK + b), Half.floatToF16(d));
                for (int j = 0; j < BLOCK; j += 2) {
                    int low = Math.min(15, (int) (v[j] * inverse + 8.5f));
                    int high = Math.min(15, (int) (v[j + 1] * inverse + 8.5f));
                    codes.data().set(ValueLayout.JAVA_BYTE, (row * k + b * BLOCK + j) / 2, (byte) (low | high << 4));
                }
            }
        });
        return QuantizedMatrix.int4(scheme, source.n(), k, codes, scales, null);
    }

    private static QuantizedMatrix blocks(WeightSource source, Scheme.Ggml scheme, Arena arena) {
        GgmlBlock block = scheme.block();
        long perRow = source.k() / BLOCK;
        Tensor out = Tensor.allocate(arena, DType.U8, source.n(), perRow * block.bytes());
        rows(source, (x, offset, row) -> {
            float[] v = new float[BLOCK];
            int[] codes = new int[BLOCK];
            for (long b = 0; b < perRow; b++) {
                load(x, offset + 4 * BLOCK * b, v);
                long at = (row * perRow + b) * block.bytes();
                switch (block) {
                    case Q4_1 -> q41(v, codes, out.data(), at);
                    case Q8_0 -> q80(v, out.data(), at);
                    default -> iq4(v, codes, out.data(), at);
                }
            }
        });
        return QuantizedMatrix.ggml(scheme, source.n(), source.k(), out);
    }

    private static void q41(float[] v, int[] codes, MemorySegment out, long at) {
        float min = Float.MAX_VALUE;
        float max = -Float.MAX_VALUE;
        for (float f : v) {
            min = f < min ? f : min;
            max = f > max ? f : max;
        }
        float d = (max - min) / 15;
        float inverse = d != 0 ? 1f / d : 0f;
        out.set(SHORT, at, Half.floatToF16(d));
        out.set(SHORT, at + 2, Half.floatToF16(min));
        for (int j = 0; j < BLOCK; j++) {
            codes[j] = Math.min(15, (int) ((v[j] - min) * inverse + 0.5f));
        }
        split(codes, out, at + 4);
    }

    private static void q80(float[] v, MemorySegment out, long at) {
        float largest = 0;
        for (float f : v) {
            largest = Math.max(largest, Math.abs(f));
        }
        float d = largest / 127;
        float inverse = d != 0 ? 1f / d : 0f;
        out.set(SHORT, at, Half.floatToF16(d));
        for (int j = 0; j < BLOCK; j++) {
            float y = v[j] * inverse;
            // half away from zero, as C's roundf; exact, since |y| stays below 2^22
            int q = (int) (Math.abs(y) + 0.5f);
            q = q - Math.abs(y) > 0.5f ? q - 1 : q;
            out.set(ValueLayout.JAVA_BYTE, at + 2 + j, (byte) (y < 0 ? -q : q));
        }
    }

    /** Weighted least squares over a few scales around the one at which the largest value meets the table's end. */
    private static void iq4(float[] v, int[] codes, MemorySegment out, long at) {
        float max = ofLargestMagnitude(v);
        if (Math.abs(max) < LEAST) {
            out.asSlice(at, GgmlBlock.IQ4_NL.bytes()).fill((byte) 0);
            // scale 0: ggml looks up 0 / 0 as 0, the level next to it
            java.util.Arrays.fill(codes, nearest(0));
            split(codes, out, at + 2);
            return;
        }
        float first = -max / GgmlBlock.iq4Level(0);
        float[] fit = new float[2];
        fit(v, 1 / first, fit);
        float d = fit[1] > 0 ? fit[0] / fit[1] : 0f;
        float best = d * fit[0];
        for (int t = -TRIES; t <= TRIES; t++) {
            fit(v, (t + GgmlBlock.iq4Level(0)) / max, fit);
            if (fit[1] > 0 && fit[0] * fit[0] > best * fit[1]) {
                d = fit[0] / fit[1];
                best = d * fit[0];
            }
        }
        out.set(SHORT, at, Half.floatToF16(d));
        float inverse = d != 0 ? 1 / d : 0;
        for (int j = 0; j < BLOCK; j++) {
            codes[j] = nearest(inverse * v[j]);
        }
        split(codes, out, at + 2);
    }

    /** Σw·q·x and Σw·q² with w = x², q the levels that {@code inverse} gives. */
    private static void fit(float[] v, float inverse, float[] sums) {
        float qx = 0;
        float qq = 0;
        for (float f : v) {
            float q = GgmlBlock.iq4Level(nearest(inverse * f));
            float w = f * f;
            qx += w * q * f;
            qq += w * q * q;
        }
        sums[0] = qx;
        sums[1] = qq;
    }

    /** Index of the level next to {@code x}; the upper one of two as near. */
    private static int nearest(float x) {
        if (x <= GgmlBlock.iq4Level(0)) {
            return 0;
        }
        if (x >= GgmlBlock.iq4Level(15)) {
            return 15;
        }
        int upper = 1;
        while (x >= GgmlBlock.iq4Level(upper)) {
            upper++;
        }
        return x - GgmlBlock.iq4Level(upper - 1) < GgmlBlock.iq4Level(upper) - x ? upper - 1 : upper;
    }

    private static float ofLargestMagnitude(float[] v) {
        float largest = 0;
        float max = 0;
        for (float f : v) {
            if (largest < Math.abs(f)) {
                largest = Math.abs(f);
                max = f;
            }
        }
        return max;
    }

    private static void load(MemorySegment x, long offset, float[] v) {
        MemorySegment.copy(x, FLOAT, offset, v, 0, BLOCK);
    }

    private static void split(int[] codes, MemorySegment out, long at) {
        for (int j = 0; j < BLOCK / 2; j++) {
            out.set(ValueLayout.JAVA_BYTE, at + j, (byte) (codes[j] | codes[j + BLOCK / 2] << 4));
        }
    }
}
