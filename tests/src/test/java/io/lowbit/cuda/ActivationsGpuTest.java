package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Graph;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.quant.Accumulation;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Quantizers of activations, alone and fused with the step before: codes and scales bit for bit those of the CPU's definition. */
@Tag("gpu")
class ActivationsGpuTest {
    /** {@code [M, K]}: odd, what fits whole vectors, rows that a block of any kernel takes in several rounds, shorter than a vector. */
    private static final int[][] SHAPES = {{3, 131}, {5, 1024}, {2, 9000}, {3, 11008}, {4, 8}, {7, 4097}, {2, 16640}, {2, 33000}};

    /** One code a byte, one f32 scale for all, a row or 128 neighbours. */
    private static final List<ActivationScaling> SCALINGS = Arrays.stream(ActivationScaling.values())
            .filter(s -> !s.mx() && s != ActivationScaling.ROW_INT4).toList();

    private static final DType[] TYPES = {DType.BF16, DType.F16, DType.F32};

    private static final Scheme.Fp8 ANY = new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR);

    /** Device memory of one shape. */
    private static final class Buffers implements AutoCloseable {
        final Arena arena = Arena.ofShared();
        final CudaLinear layer;
        final Stream stream;
        final DeviceMemory x;
        final DeviceMemory other;
        final DeviceMemory values;
        final DeviceMemory activations;
        final int m;
        final int k;

        Buffers(CudaBackend backend, int[] shape) {
            this(backend, ANY, shape);
        }

        Buffers(CudaBackend backend, Scheme scheme, int[] shape) {
            m = shape[0];
            k = shape[1];
            layer = backend.load(Schemes.quantized(arena, scheme, 8, k, 1));
            stream = Stream.open(backend.context());
            x = backend.context().allocate(4L * m * k);
            other = backend.context().allocate(4L * m * k);
            values = backend.context().allocate(4L * m * k);
            activations = backend.context().allocate(layer.workspaceBytes(m));
        }

        DeviceTensor upload(DeviceMemory to, Tensor from) {
            stream.upload(to.address(), from.data(), from.data().byteSize());
            stream.fill(activations.address(), (byte) 0xff, activations.bytes());
            stream.fill(values.address(), (byte) 0xff, values.bytes());
            return DeviceTensor.of(to, from.dtype(), from.shape().dims());
        }

        DeviceTensor values() {
            return DeviceTensor.of(values, DType.F32, m, k);
        }

        float[] downloadValues() {
            MemorySegment bytes = arena.allocate(4L * m * k, 4);
            stream.download(bytes, values.address(), bytes.byteSize());
            stream.synchronize();
            return bytes.toArray(ValueLayout.JAVA_FLOAT);
        }

        DeviceCodes codes(ActivationScaling scaling) {
            return DeviceCodes.download(arena, stream, activations, m, k, scaling, layer.layout().interleaved());
        }

        @Override
        public void close() {
            stream.synchronize();
            for (DeviceMemory memory : new DeviceMemory[] {x, other, values, activations}) {
                memory.close();
            }
            stream.close();
            layer.close();
            arena.close();
        }
    }

    @ParameterizedTest(name = "{0}, seed 31")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void quantizersGiveTheBitsOfTheDefinition(Architecture architecture) {
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.byTable())) {
            int turn = 0;
            for (int[] shape : SHAPES) {
                try (Buffers b = new Buffers(backend, shape)) {
                    for (ActivationScaling scaling : SCALINGS) {
                        DType type = TYPES[turn++ % TYPES.length];
                        Tensor x = extremes(b.arena, type, 31 + turn, shape);
                        b.layer.activations().quantize(b.stream, b.upload(b.x, x), scaling, b.activations);
                        b.codes(scaling).assertQuantized(architecture + " " + scaling.label() + " of " + type + " [" + b.m + ", " + b.k + "]",
                                floats(x));
                    }
                }
            }
        }
    }

    /** The order of codes that INT4 weights in records want. */
    @Test
    void interleavedCodesAreTheSameCodes() {
        try (CudaBackend backend = Gpu.open()) {
            Assumptions.assumeTrue(backend.kernels().architecture() == Architecture.SM90, "needs a Hopper GPU");
            try (Buffers b = new Buffers(backend, new Scheme.Int4(Grouping.group(128), true), new int[] {5, 1024})) {
                assertTrue(b.layer.layout().interleaved());
                for (ActivationScaling scaling : SCALINGS) {
                    Tensor x = extremes(b.arena, DType.BF16, 38, new int[] {5, 1024});
                    b.layer.activations().quantize(b.stream, b.upload(b.x, x), scaling, b.activations);
                    b.codes(scaling).assertQuantized("interleaved " + scaling.label(), floats(x));
                }
            }
        }
    }

    /**
     * Normal numbers; in the second row tiny ones, whose scale is below every normal number, zeros of both signs and a NaN; halves of
     * every code's distance to the next in the first; in the third row of large tensors nothing but zeros.
     */
    private static Tensor extremes(Arena arena, DType type, long seed, int[] shape) {
        Tensor x = Schemes.normal(arena, type, seed, 3, shape[0], shape[1]);
        SplittableRandom random = new SplittableRandom(seed);
        int k = shape[1];
        for (int col = 0; col < k; col++) {
            if (col % 3 == 0) {
                x.setFloat(col, (1 + random.nextInt(32) / 32f) * Math.scalb(random.nextBoolean() ? 1f : -1f, random.nextInt(-12, 3)));
            }
            float tiny = (float) random.nextGaussian() * (type == DType.F16 ? 0x1p-22f : 0x1p-128f);
            x.setFloat((long) k + col, col % 7 == 0 ? 0f : col % 11 == 0 ? -0f : tiny);
            if (shape[0] > 2) {
                x.setFloat(2L * k + col, 0);
            }
        }
        x.setFloat(0, 14);
        x.setFloat(k + k / 2, Float.NaN);
        if (shape[0] > 4) {
            x.setFloat(4L * k + 1, Float.POSITIVE_INFINITY);
        }
        return x;
    }

    private static float[] floats(Tensor x) {
        float[] out = new float[(int) x.elements()];
        for (int i = 0; i < out.length; i++) {
            out[i] = x.getFloat(i);
        }
        return out;
    }

    /** One case of the fused kernels; {@code turn} counts them from 1. */
    private interface FusedCase {
        void run(Buffers b, ActivationScaling scaling, int turn);
    }

    /** Runs a case for every shape and every scaling that the fused kernels make. */
    private static void fused(Architecture architecture, FusedCase test) {
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.byTable())) {
            int turn = 0;
            for (int[] shape : SHAPES) {
                try (Buffers b = new Buffers(backend, shape)) {
                    for (ActivationScaling scaling : SCALINGS) {
                        if (!scaling.tensor()) {
                            test.run(b, scaling, ++turn);
                        }
                    }
                }
            }
        }
    }

    /** RMSNorm: values bit for bit the stated order of operations, codes those of the values. */
    @ParameterizedTest(name = "{0}, seed 32")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void normAndQuantize(Architecture architecture) {
        fused(architecture, (b, scaling, turn) -> {
            DType type = TYPES[(turn - 1) % TYPES.length];
            Tensor x = Schemes.normal(b.arena, type, 32 + turn, 3, b.m, b.k);
            Tensor weight = Schemes.normal(b.arena, TYPES[turn / 3 % TYPES.length], 33, 1, b.k);
            String what = architecture + " norm, " + scaling.label() + " of " + type + " [" + b.m + ", " + b.k + "]";
            DeviceTensor dx = b.upload(b.x, x);
            DeviceTensor dw = b.upload(b.other, weight);
            b.layer.activations().quantizeNormed(b.stream, dx, dw, 1e-5f, scaling, b.activations, b.values());
            float[] values = b.downloadValues();
            float[] expected = normed(floats(x), floats(weight), 1e-5f, b.m, b.k);
            for (int i = 0; i < values.length; i++) {
                assertEquals(expected[i], values[i], what + " element " + i);
            }
            b.codes(scaling).assertQuantized(what, values);
            b.upload(b.x, x);
            b.layer.activations().quantizeNormed(b.stream, dx, dw, 1e-5f, scaling, b.activations, null);
            b.codes(scaling).assertQuantized(what + ", values not kept", values);
        });
    }

    /**
     * As the kernel does it: a thread adds the squares of 16 columns, then of those further on by 16 a thread; a tree over the 32 threads
     * of a warp, another over the warps. A thread for each 16 columns, up to 1024, rounded up to whole warps.
     */
    private static float[] normed(float[] x, float[] weight, float epsilon, int m, int k) {
        int vectors = Math.ceilDiv(k, 128) * 8;
        int threads = Math.ceilDiv(vectors, 32 * Math.ceilDiv(vectors, 1024)) * 32;
        float[] out = new float[m * k];
        for (int row = 0; row < m; row++) {
            float[] warps = new float[32];
            for (int warp = 0; warp < threads / 32; warp++) {
                float[] squares = new float[32];
                for (int lane = 0; lane < 32; lane++) {
                    for (int from = 16 * (32 * warp + lane); from < k; from += 16 * threads) {
                        for (int i = from; i < Math.min(k, from + 16); i++) {
                            squares[lane] = Math.fma(x[row * k + i], x[row * k + i], squares[lane]);
                        }
                    }
                }
                warps[warp] = tree(squares);
            }
            float inverse = 1f / (float) Math.sqrt(tree(warps) / k + epsilon);
            for (int i = 0; i < k; i++) {
                out[row * k + i] = x[row * k + i] * inverse * weight[i];
            }
        }
        return out;
    }

    private static float tree(float[] v) {
        for (int d = 16; d > 0; d /= 2) {
            for (int i = 0; i < d; i++) {
                v[i] += v[i + d];
            }
        }
        return v[0];
    }

    /** The gate: values within 2^-20 of the product in double precision, codes those of the values. */
    @ParameterizedTest(name = "{0}, seed 34")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void gateAndQuantize(Architecture architecture) {
        fused(architecture, (b, scaling, turn) -> {
            DType type = TYPES[(turn - 1) % TYPES.length];
            Tensor gate = Schemes.normal(b.arena, type, 34 + turn, 6, b.m, b.k);
            gate.setFloat(0, -200);
            Tensor up = Schemes.normal(b.arena, type, 35 + turn, 2, b.m, b.k);
            String what = architecture + " gate, " + scaling.label() + " of " + type + " [" + b.m + ", " + b.k + "]";
            DeviceTensor dg = b.upload(b.x, gate);
            b.layer.activations().quantizeGated(b.stream, dg, b.upload(b.other, up), scaling, b.activations, b.values());
            float[] values = b.downloadValues();
            for (int i = 0; i < values.length; i++) {
                double g = gate.getFloat(i);
                double expected = g / (1 + Math.exp(-g)) * up.getFloat(i);
                assertTrue(Math.abs(values[i] - expected) <= 0x1p-20 * Math.abs(expected) + 0x1p-120,
                        what + " element " + i + ": expected " + expected + ", got " + values[i]);
            }
            b.codes(scaling).assertQuantized(what, values);
        });
    }

    /** The whole chain captured: norm and quantize, multiply; replayed, it gives what the parts gave. */
    @Test
    void normAndProductInAGraph() {
        try (CudaBackend backend = Gpu.open(); Buffers b = new Buffers(backend, new int[] {5, 1024});
                DeviceMemory y = backend.context().allocate(4 * 5 * 8)) {
            Tensor x = Schemes.normal(b.arena, DType.BF16, 36, 1, 5, 1024);
            Tensor weight = Schemes.normal(b.arena, DType.F32, 37, 1, 1024);
            DeviceTensor dx = b.upload(b.x, x);
            DeviceTensor dw = b.upload(b.other, weight);
            DeviceTensor dy = DeviceTensor.of(y, DType.F32, 5, 8);
            Runnable both = () -> {
                b.layer.activations().quantizeNormed(b.stream, dx, dw, 1e-6f, ActivationScaling.ROW, b.activations, null);
                b.layer.multiply(b.stream, b.activations, dy, ActivationScaling.ROW, Accumulation.PRECISE);
            };
            both.run();
            MemorySegment once = b.arena.allocate(y.bytes(), 4);
            b.stream.download(once, y.address(), y.bytes());
            b.stream.synchronize();
            MemorySegment again = b.arena.allocate(y.bytes(), 4);
            try (Graph graph = Graph.capture(b.stream, both)) {
                b.stream.fill(y.address(), (byte) 0xff, y.bytes());
                graph.launch(b.stream);
                b.stream.download(again, y.address(), y.bytes());
                b.stream.synchronize();
            }
            assertEquals(-1, once.mismatch(again));
            assertTrue(Float.isFinite(once.get(ValueLayout.JAVA_FLOAT, 0)));
        }
    }

    @Test
    void wrongArgumentsAreRefused() {
        try (CudaBackend backend = Gpu.open(); Buffers b = new Buffers(backend, new int[] {2, 64})) {
            DeviceTensor x = DeviceTensor.of(b.x, DType.BF16, 2, 64);
            DeviceTensor weight = DeviceTensor.of(b.other, DType.F32, 64);
            refused("one scale for all of x needs all of x first", () ->
                    b.layer.activations().quantizeNormed(b.stream, x, weight, 1e-5f, ActivationScaling.TENSOR, b.activations, null));
            refused("the fused kernels do not make", () ->
                    b.layer.activations().quantizeGated(b.stream, x, x, ActivationScaling.BLOCK32_E8M0, b.activations, null));
            refused("expected a norm's weight [64]", () ->
                    b.layer.activations().quantizeNormed(b.stream, x, x, 1e-5f, ActivationScaling.ROW, b.activations, null));
            refused("expected the same", () -> b.layer.activations().quantizeGated(b.stream, x, DeviceTensor.of(b.other, DType.F16, 2, 64),
                    ActivationScaling.ROW, b.activations, null));
            refused("expected values F32", () -> b.layer.activations().quantizeGated(b.stream, x, x, ActivationScaling.ROW, b.activations, x));
            refused("one scale for all of it", () -> b.layer.multiplyQuantized(b.stream, b.activations, 2, ActivationScaling.ROW, Accumulation.FAST,
                    b.x, ActivationScaling.ROW, 1));
            refused("scale of y 0.0", () -> b.layer.multiplyQuantized(b.stream, b.activations, 2, ActivationScaling.ROW, Accumulation.FAST, b.x,
                    ActivationScaling.TENSOR, 0));
            refused("memory for y", () -> b.layer.multiplyQuantized(b.stream, b.activations, 2, ActivationScaling.ROW, Accumulation.FAST, b.x,
                    ActivationScaling.TENSOR, 1));
            try (Arena arena = Arena.ofConfined()) {
                QuantizedMatrix e5m2 = Schemes.quantized(arena, new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.TENSOR), 8, 64, 1);
                try (CudaLinear layer = backend.load(e5m2)) {
                    refused("no kernel here takes e5m2-row", () -> layer.multiply(b.stream, b.activations, DeviceTensor.of(b.other, DType.F32, 2, 8),
                            ActivationScaling.ROW_E5M2, Accumulation.EXACT));
                }
            }
        }
    }

    private static void refused(String part, Runnable call) {
        String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
        assertTrue(message.contains(part), message);
    }
}
