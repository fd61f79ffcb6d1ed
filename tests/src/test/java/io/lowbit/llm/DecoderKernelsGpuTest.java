package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.Gpu;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Kernels;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@Tag("gpu")
@DisplayName("Every kernel of the decoder against plain Java, on random data")
class DecoderKernelsGpuTest {
    private static final String ARCHITECTURES = "io.lowbit.cuda.Gpu#architectures";
    private static final double EPSILON = 1e-5;

    /** A GPU, a stream, and arrays that go there and back. */
    private static final class Bench implements AutoCloseable {
        final CudaBackend backend;
        final Kernels kernels;
        final Stream stream;
        final List<DeviceMemory> memory = new ArrayList<>();
        final SplittableRandom random = new SplittableRandom(17);

        Bench(Architecture architecture) {
            Gpu.require();
            backend = CudaBackend.open(0);
            Context context = backend.context();
            kernels = new Kernels(context, architecture);
            stream = Stream.open(context);
        }

        /** Uploads floats, rounded to {@code type}; they become what was uploaded. */
        long put(DType type, float[] values) {
            try (Arena arena = Arena.ofConfined()) {
                Tensor t = Tensor.allocate(arena, type, values.length);
                for (int i = 0; i < values.length; i++) {
                    t.setFloat(i, values[i]);
                    values[i] = t.getFloat(i);
                }
                DeviceMemory m = DeviceMemory.allocate(stream, Math.max(1, t.data().byteSize()));
                memory.add(m);
                stream.upload(m.address(), t.data(), t.data().byteSize());
                stream.synchronize();
                return m.address();
            }
        }

        long put(int... values) {
            try (Arena arena = Arena.ofConfined()) {
                var host = arena.allocateFrom(java.lang.foreign.ValueLayout.JAVA_INT, values);
                DeviceMemory m = DeviceMemory.allocate(stream, host.byteSize());
                memory.add(m);
                stream.upload(m.address(), host, host.byteSize());
                stream.synchronize();
                return m.address();
            }
        }

        float[] get(DType type, long address, int count) {
            try (Arena arena = Arena.ofConfined()) {
                Tensor t = Tensor.allocate(arena, type, count);
                stream.download(t.data(), address, t.data().byteSize());
                stream.synchronize();
                return t.toFloats();
            }
        }

        float[] normal(int count, double deviation) {
            float[] out = new float[count];
            for (int i = 0; i < count; i++) {
                out[i] = (float) (deviation * random.nextGaussian());
            }
            return out;
        }

        void free() {
            memory.forEach(DeviceMemory::close);
            memory.clear();
        }

        @Override
        public void close() {
            free();
            stream.close();
            kernels.close();
            backend.close();
        }
    }

    /** BF16's rounding of a value that f32 sums may move a little; NaN fails. */
    private static void near(double want, float got, double slack, String what) {
        assertTrue(Math.abs(got - want) <= Math.abs(want) * 0x1p-8 + slack, () -> what + ": " + got + ", in double " + want);
    }

    @ParameterizedTest
    @MethodSource(ARCHITECTURES)
    void embedCopiesRows(Architecture architecture) {
        try (Bench b = new Bench(architecture)) {
            DecoderKernels kernels = new DecoderKernels(b.kernels, 64);
            for (DType type : List.of(DType.F32, DType.F16, DType.BF16)) {
                for (int hidden : new int[] {1, 33, 600}) {
                    float[] table = b.normal(11 * hidden, 1);
                    long device = b.put(type, table);
                    int[] tokens = {10, 0, 3, 3, 7};
                    long residual = b.put(DType.F32, new float[5 * hidden]);
                    kernels.embed(b.stream, 5, b.put(tokens), device, type, residual, hidden);
                    float[] got = b.get(DType.F32, residual, 5 * hidden);
                    for (int i = 0; i < got.length; i++) {
                        assertEquals(table[tokens[i / hidden] * hidden + i % hidden], got[i], type + " " + i);
                    }
                    b.free();
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource(ARCHITECTURES)
    void normNormalizes(Architecture architecture) {
        try (Bench b = new Bench(architecture)) {
            DecoderKernels kernels = new DecoderKernels(b.kernels, 64);
            for (int hidden : new int[] {1, 32, 256, 1000}) {
                for (int rows : new int[] {1, 3, 70}) {
                    float[] x = b.normal(rows * hidden, 2);
                    float[] weight = b.normal(hidden, 1);
                    long residual = b.put(DType.F32, x);
                    long normed = b.put(DType.BF16, new float[rows * hidden]);
                    kernels.norm(b.stream, rows, residual, b.put(DType.F32, weight), EPSILON, normed, hidden);
                    float[] got = b.get(DType.BF16, normed, rows * hidden);
                    assertArrayEquals(x, b.get(DType.F32, residual, rows * hidden), "residual");
                    for (int r = 0; r < rows; r++) {
                        double inverse = inverseRms(x, r * hidden, hidden);
                        for (int i = 0; i < hidden; i++) {
                            near(x[r * hidden + i] * inverse * weight[i], got[r * hidden + i], 1e-6, "hidden " + hidden + " row " + r + " " + i);
                        }
                    }
                    b.free();
                }
            }
        }
    }

    private static double inverseRms(float[] x, int at, int n) {
        double squares = 0;
        for (int i = 0; i < n; i++) {
            squares += (double) x[at + i] * x[at + i];
        }
        return 1 / Math.sqrt(squares / n + EPSILON);
    }

    @ParameterizedTest
    @MethodSource(ARCHITECTURES)
    void rotateNormsTurnsAndFillsTheCache(Architecture architecture) {
        try (Bench b = new Bench(architecture)) {
            for (int headDim : new int[] {2, 8, 20, 64, 128, 256}) {
                DecoderKernels kernels = new DecoderKernels(b.kernels, headDim);
                for (int[] heads : new int[][] {{4, 2}, {6, 3}, {8, 1}}) {
                    for (int rows : new int[] {1, 9}) {
                        for (boolean norms : new boolean[] {false, true}) {
                            rotate(b, kernels, heads[0], heads[1], headDim, rows, rows == 1 ? 37 : 5, norms);
                            b.free();
                        }
                    }
                }
            }
        }
    }

    private static void rotate(Bench b, DecoderKernels kernels, int heads, int kvHeads, int headDim, int rows, int position, boolean norms) {
        int capacity = 40;
        int stride = DecoderKernels.cacheStride(headDim);
        int half = headDim / 2;
        float[] q = b.normal(rows * heads * headDim, 1);
        float[] k = b.normal(rows * kvHeads * headDim, 1);
        float[] v = b.normal(rows * kvHeads * headDim, 1);
        float[] queryNorm = b.normal(headDim, 1);
        float[] keyNorm = b.normal(headDim, 1);
        RotaryEmbedding rotary = new RotaryEmbedding(headDim, 500, new RopeScaling.None());
        rotary.prepare(capacity);
        float[] cosines = rotary.cosines().clone();
        float[] sines = rotary.sines().clone();
        float[] marks = new float[kvHeads * capacity * stride];
        java.util.Arrays.fill(marks, 7f);
        long deviceQ = b.put(DType.BF16, q);
        long keys = b.put(DType.BF16, marks);
        long values = b.put(DType.BF16, marks);
        kernels.rotate(b.stream, rows, deviceQ, b.put(DType.BF16, k), b.put(DType.BF16, v), norms ? b.put(DType.F32, queryNorm) : 0,
                norms ? b.put(DType.F32, keyNorm) : 0, EPSILON, b.put(DType.F32, cosines), b.put(DType.F32, sines), b.put(position),
                new DecoderKernels.Heads(heads, kvHeads, headDim, keys, values, capacity, Integer.MAX_VALUE));
        float[] gotQ = b.get(DType.BF16, deviceQ, q.length);
        float[] gotKeys = b.get(DType.BF16, keys, marks.length);
        float[] gotValues = b.get(DType.BF16, values, marks.length);
        String what = headDim + " dims, " + heads + "/" + kvHeads + " heads, " + rows + " rows, norms " + norms;
        for (int h = 0; h < rows * heads; h++) {
            turned(q, h * headDim, headDim, norms ? queryNorm : null, cosines, sines, position + h / heads, gotQ, h * headDim, what + " q");
        }
        for (int kv = 0; kv < kvHeads; kv++) {
            for (int p = 0; p < capacity; p++) {
                int at = (kv * capacity + p) * stride;
                int r = p - position;
                boolean written = r >= 0 && r < rows;
                if (written) {
                    turned(k, (r * kvHeads + kv) * headDim, headDim, norms ? keyNorm : null, cosines, sines, p, gotKeys, at, what + " k");
                }
                for (int i = 0; i < stride; i++) {
                    boolean own = written && i < headDim;
                    assertEquals(own ? v[(r * kvHeads + kv) * headDim + i] : 7f, gotValues[at + i], what + " v at " + p + ", " + i);
                    assertTrue(own || gotKeys[at + i] == 7f, what + ": key beyond its place at " + p + ", " + i);
                }
            }
        }
        assertEquals(half * capacity, cosines.length);
    }

    private static void turned(float[] x, int at, int headDim, float[] norm, float[] cosines, float[] sines, int position, float[] got, int gotAt,
            String what) {
        int half = headDim / 2;
        double[] y = new double[headDim];
        double inverse = norm == null ? 1 : inverseRms(x, at, headDim);
        for (int i = 0; i < headDim; i++) {
            y[i] = x[at + i] * inverse * (norm == null ? 1 : norm[i]);
        }
        for (int i = 0; i < half; i++) {
            double c = cosines[position * half + i];
            double s = sines[position * half + i];
            near(y[i] * c - y[i + half] * s, got[gotAt + i], 1e-5, what + " position " + position + " " + i);
            near(y[i + half] * c + y[i] * s, got[gotAt + half + i], 1e-5, what + " position " + position + " " + (half + i));
        }
    }

    @ParameterizedTest
    @MethodSource(ARCHITECTURES)
    void attentionIsTheSoftmaxWeightedSum(Architecture architecture) {
        int cases = 0;
        try (Bench b = new Bench(architecture)) {
            for (int headDim : new int[] {2, 8, 20, 64, 96, 128, 256}) {
                DecoderKernels kernels = new DecoderKernels(b.kernels, headDim);
                for (int[] shape : new int[][] {
                    // rows, position, window
                    {1, 0, 0}, {1, 1, 0}, {1, 31, 0}, {1, 32, 0}, {1, 300, 0}, {1, 299, 7}, {1, 299, 64}, {1, 5, 64},
                    {2, 0, 0}, {7, 30, 0}, {33, 0, 0}, {64, 100, 0}, {50, 40, 7}, {50, 3, 33}, {17, 0, 1}}) {
                    int group = 1 + cases % 6;
                    attend(b, kernels, 1 + cases % 3, group, headDim, shape[0], shape[1], shape[2] == 0 ? Integer.MAX_VALUE : shape[2]);
                    b.free();
                    cases++;
                }
            }
        }
        System.out.println(architecture + ": " + cases + " attention cases");
    }

    private static void attend(Bench b, DecoderKernels kernels, int kvHeads, int group, int headDim, int rows, int position, int window) {
        int capacity = position + rows + 3;
        int stride = DecoderKernels.cacheStride(headDim);
        int heads = kvHeads * group;
        float[] q = b.normal(rows * heads * headDim, 1.5);
        float[] keys = cache(b, kvHeads, capacity, headDim, stride, position + rows);
        float[] values = cache(b, kvHeads, capacity, headDim, stride, position + rows);
        long deviceQ = b.put(DType.BF16, q);
        long out = b.put(DType.BF16, new float[q.length]);
        long again = b.put(DType.BF16, new float[q.length]);
        long at = b.put(position);
        DecoderKernels.Heads h = new DecoderKernels.Heads(heads, kvHeads, headDim, b.put(DType.BF16, keys), b.put(DType.BF16, values), capacity, window);
        kernels.attend(b.stream, rows, deviceQ, out, at, h);
        kernels.attend(b.stream, rows, deviceQ, again, at, h);
        float[] got = b.get(DType.BF16, out, q.length);
        String what = headDim + " dims, " + kvHeads + " key heads of " + group + ", " + rows + " rows from " + position + ", window " + window;
        assertArrayEquals(got, b.get(DType.BF16, again, q.length), what + ": two runs");
        IntStream.range(0, rows).parallel().forEach(r -> {
            int high = position + r + 1;
            int low = high > window ? high - window : 0;
            for (int head = 0; head < heads; head++) {
                int kv = head / group;
                int row = (r * heads + head) * headDim;
                double[] scores = new double[high];
                double most = Double.NEGATIVE_INFINITY;
                for (int p = low; p < high; p++) {
                    double s = 0;
                    for (int d = 0; d < headDim; d++) {
                        s += (double) q[row + d] * keys[(kv * capacity + p) * stride + d];
                    }
                    scores[p] = s / Math.sqrt(headDim);
                    most = Math.max(most, scores[p]);
                }
                double total = 0;
                double[] sum = new double[headDim];
                for (int p = low; p < high; p++) {
                    double w = Math.exp(scores[p] - most);
                    total += w;
                    for (int d = 0; d < headDim; d++) {
                        sum[d] += w * values[(kv * capacity + p) * stride + d];
                    }
                }
                for (int d = 0; d < headDim; d++) {
                    near(sum[d] / total, got[row + d], 2e-5, what + ": row " + r + " head " + head + " " + d);
                }
            }
        });
    }

    /** Positions not yet seen hold NaN: whoever reads them shows it. */
    private static float[] cache(Bench b, int kvHeads, int capacity, int headDim, int stride, int seen) {
        float[] cache = new float[kvHeads * capacity * stride];
        for (int i = 0; i < cache.length; i++) {
            boolean pad = i % stride >= headDim;
            cache[i] = i / stride % capacity >= seen ? Float.NaN : pad ? 0f : (float) b.random.nextGaussian();
        }
        return cache;
    }

    @ParameterizedTest
    @MethodSource(ARCHITECTURES)
    void swiGluIsSiluTimesUp(Architecture architecture) {
        try (Bench b = new Bench(architecture)) {
            DecoderKernels kernels = new DecoderKernels(b.kernels, 64);
            for (int n : new int[] {1, 255, 256, 5000}) {
                float[] gate = b.normal(n, 4);
                float[] up = b.normal(n, 2);
                gate[0] = -200f;
                gate[n / 2] = n == 1 ? gate[0] : 90f;
                long device = b.put(DType.BF16, gate);
                kernels.swiGlu(b.stream, device, b.put(DType.BF16, up), n);
                float[] got = b.get(DType.BF16, device, n);
                for (int i = 0; i < n; i++) {
                    near(gate[i] / (1 + Math.exp(-(double) gate[i])) * up[i], got[i], 1e-6, "element " + i + " of " + n);
                }
                b.free();
            }
        }
    }
}
