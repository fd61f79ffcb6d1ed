package io.lowbit.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.format.MxScaleRule;
import io.lowbit.format.Overflow;
import io.lowbit.quant.Bitwise;
import io.lowbit.quant.ClipSearch;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.NonFinite;
import io.lowbit.quant.NonFiniteWeightsException;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.ZeroBlock;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.LongAdder;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The device quantizes with the CPU's bits: every scheme, option and kind of weights, odd shapes; and refuses in its words. */
@Tag("gpu")
class QuantizeGpuTest {
    private static final long[][] SHAPES = {{1, 1}, {3, 5}, {17, 259}, {64, 128}, {33, 1030}, {0, 8}, {4, 0}};

    /** Weights that quantizers meet: normal, whole rows of zeros with both signs, tiny ones and subnormals, huge ones. */
    private enum Kind {
        NORMAL, ZEROS, TINY, WIDE;

        Tensor weights(Arena arena, DType type, long n, long k, long seed) {
            SplittableRandom random = new SplittableRandom(seed);
            Tensor t = Tensor.allocate(arena, type, n, k);
            for (long i = 0; i < t.elements(); i++) {
                double v = random.nextGaussian();
                float scaled = (float) switch (this) {
                    case NORMAL -> 0.05 * v;
                    case ZEROS -> i / Math.max(1, k) % 2 == 0 ? Math.copySign(0.0, v) : 0.05 * v;
                    case TINY -> v * Math.scalb(1.0, -120 - random.nextInt(30));
                    case WIDE -> v * Math.scalb(1.0, random.nextInt(type == DType.F16 ? 12 : 100) - 20);
                };
                t.setFloat(i, scaled);
            }
            return t;
        }
    }

    private static List<QuantizeOptions> options(Scheme scheme) {
        QuantizeOptions plain = QuantizeOptions.DEFAULT;
        List<QuantizeOptions> all = new ArrayList<>(List.of(plain));
        switch (scheme) {
            case Scheme.Mxfp4 _ -> {
                for (MxScaleRule rule : MxScaleRule.values()) {
                    all.add(plain.withMxScaleRule(rule));
                }
            }
            case Scheme.Mxfp8 _ -> {
                for (MxScaleRule rule : MxScaleRule.values()) {
                    all.add(plain.withMxScaleRule(rule).withOverflow(Overflow.NONSATURATING));
                }
                all.add(plain.withMxScaleRule(MxScaleRule.RCEIL));
            }
            case Scheme.Bnb4 _ -> all.add(plain.withZeroBlock(ZeroBlock.CUDA));
            case Scheme.Fp8 _, Scheme.Dense _ -> all.add(plain.withOverflow(Overflow.NONSATURATING));
            default -> {}
        }
        return all;
    }

    @ParameterizedTest(name = "{0}, seed 41")
    @MethodSource("io.lowbit.cuda.Gpu#architectures")
    void everySchemeGivesTheProcessorsBits(Architecture architecture) {
        Gpu.require();
        DType[] types = {DType.F32, DType.F16, DType.BF16};
        LongAdder compared = new LongAdder();
        LongAdder refused = new LongAdder();
        try (CudaBackend backend = Gpu.open(architecture, KernelChoice.always("linear"))) {
            Schemes.ALL.parallelStream().forEach(scheme -> {
                for (QuantizeOptions options : options(scheme)) {
                    for (Kind kind : Kind.values()) {
                        for (long[] shape : SHAPES) {
                            for (DType type : types) {
                                try (Arena arena = Arena.ofShared()) {
                                    Tensor w = kind.weights(arena, type, shape[0], shape[1], 41);
                                    String what = scheme.label() + " of " + kind + " " + type + " " + w.shape() + ", " + options;
                                    QuantizedMatrix expected;
                                    try {
                                        expected = Quantizer.quantize(w, scheme, options, arena);
                                    } catch (IllegalArgumentException e) {
                                        // An F16 scale that overflows: the device refuses in the same words.
                                        assertEquals(e.getMessage(), assertThrows(IllegalArgumentException.class,
                                                () -> backend.quantize(w, scheme, options, arena), what).getMessage(), what);
                                        refused.increment();
                                        continue;
                                    }
                                    Bitwise.assertSame(expected, backend.quantize(w, scheme, options, arena), what);
                                    compared.increment();
                                }
                            }
                        }
                    }
                }
            });
        }
        System.out.println(architecture + ": " + compared + " matrices quantized with the CPU's bits, " + refused + " refused in its words");
        assertTrue(compared.sum() > 1000);
        assertTrue(refused.sum() > 0);
    }

    /** NaN and infinities under each policy. */
    @Test
    void nonFiniteWeights() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            for (Scheme scheme : Schemes.ALL) {
                Tensor w = Kind.NORMAL.weights(arena, DType.F32, 9, 131, 5);
                w.setFloat(3 * 131 + 7, Float.NaN);
                w.setFloat(3 * 131 + 90, Float.NEGATIVE_INFINITY);
                w.setFloat(8 * 131 + 130, Float.POSITIVE_INFINITY);
                NonFiniteWeightsException expected = assertThrows(NonFiniteWeightsException.class,
                        () -> Quantizer.quantize(w, scheme, QuantizeOptions.DEFAULT, arena));
                NonFiniteWeightsException e = assertThrows(NonFiniteWeightsException.class,
                        () -> backend.quantize(w, scheme, QuantizeOptions.DEFAULT, arena));
                assertEquals(expected.getMessage(), e.getMessage());
                assertEquals(3, e.row());
                assertEquals(7, e.col());
                assertEquals(3, e.count());
                QuantizeOptions zero = QuantizeOptions.DEFAULT.withNonFinite(NonFinite.ZERO);
                Bitwise.assertSame(Quantizer.quantize(w, scheme, zero, arena), backend.quantize(w, scheme, zero, arena), scheme.label() + " zeroed");
                QuantizeOptions propagate = QuantizeOptions.DEFAULT.withNonFinite(NonFinite.PROPAGATE);
                if (scheme.hasNan() && !(scheme instanceof Scheme.Dense)) {
                    for (Overflow overflow : Overflow.values()) {
                        Bitwise.assertSame(Quantizer.quantize(w, scheme, propagate.withOverflow(overflow), arena),
                                backend.quantize(w, scheme, propagate.withOverflow(overflow), arena), scheme.label() + " propagated " + overflow);
                    }
                } else if (!(scheme instanceof Scheme.Dense)) {
                    assertEquals(assertThrows(IllegalArgumentException.class, () -> Quantizer.quantize(w, scheme, propagate, arena)).getMessage(),
                            assertThrows(IllegalArgumentException.class, () -> backend.quantize(w, scheme, propagate, arena)).getMessage());
                }
            }
        }
    }

    /** From floats on the device to a layer, without the host: the bytes of the CPU's matrix, and its product. */
    @Test
    void quantizedMatricesStayOnTheDevice() {
        try (CudaBackend backend = Gpu.open()) {
            fromFloatsToLayers(backend);  // loads kernels, grows staging memory
            long before = backend.context().freeBytes();
            fromFloatsToLayers(backend);
            assertEquals(before, backend.context().freeBytes());
        }
    }

    private static void fromFloatsToLayers(CudaBackend backend) {
        try (Arena arena = Arena.ofShared()) {
            for (Scheme scheme : Schemes.ALL) {
                Tensor w = Kind.NORMAL.weights(arena, DType.BF16, 192, 512, 6);
                Tensor bias = Schemes.normal(arena, DType.F32, 7, 1, 192);
                QuantizedMatrix expected = Quantizer.quantize(w, scheme, QuantizeOptions.DEFAULT, arena);
                Tensor x = Schemes.normal(arena, DType.BF16, 8, 1, 5, 512);
                Tensor y = Tensor.allocate(arena, DType.F32, 5, 192);
                Tensor again = Tensor.allocate(arena, DType.F32, 5, 192);
                try (DeviceMemory floats = backend.context().allocate(w.data().byteSize())) {
                    backend.upload(floats.address(), w.data());
                    try (DeviceMatrix matrix = backend.quantize(DeviceTensor.of(floats, DType.BF16, 192, 512), scheme, QuantizeOptions.DEFAULT);
                            CudaLinear layer = backend.load(matrix, bias); CudaLinear fromHost = backend.load(expected, bias);
                            CudaLinear copy = layer.duplicate()) {
                        Bitwise.assertSame(expected, matrix.download(arena), scheme.label());
                        matrix.close();
                        assertThrows(IllegalStateException.class, () -> backend.load(matrix, null));
                        fromHost.forward(x, y);
                        layer.forward(x, again);
                        assertEquals(-1, y.data().mismatch(again.data()), scheme.label());
                        layer.close();
                        copy.forward(x, again);
                        assertEquals(-1, y.data().mismatch(again.data()), scheme.label() + " duplicated");
                    }
                }
            }
        }
    }

    @Test
    void dequantizesOnTheDevice() {
        try (CudaBackend backend = Gpu.open(); Arena arena = Arena.ofShared()) {
            Tensor w = Kind.NORMAL.weights(arena, DType.F32, 33, 259, 9);
            for (Scheme scheme : Schemes.ALL) {
                Tensor expected = Dequantizer.dequantize(Quantizer.quantize(w, scheme, QuantizeOptions.DEFAULT, arena), DType.F32, arena);
                try (DeviceMemory floats = backend.context().allocate(w.data().byteSize())) {
                    backend.upload(floats.address(), w.data());
                    DeviceTensor onDevice = DeviceTensor.of(floats, DType.F32, 33, 259);
                    try (DeviceMatrix matrix = backend.quantize(onDevice, scheme, QuantizeOptions.DEFAULT)) {
                        matrix.dequantize(onDevice);
                    }
                    Tensor got = Tensor.allocate(arena, DType.F32, 33, 259);
                    backend.onLane(lane -> lane.stream().download(got.data(), floats.address(), got.data().byteSize()));
                    Bitwise.assertSame(expected, got, scheme.label());
                }
            }
        }
    }

    @Test
    void refusals() {
        try (CudaBackend backend = Gpu.open(); CudaBackend other = Gpu.open(); Arena arena = Arena.ofShared()) {
            Tensor w = Kind.NORMAL.weights(arena, DType.F32, 4, 8, 5);
            Scheme int4 = new Scheme.Int4(Grouping.group(8), true);
            assertTrue(assertThrows(IllegalArgumentException.class,
                    () -> backend.quantize(w, int4, QuantizeOptions.DEFAULT.withClip(ClipSearch.GPTQ), arena)).getMessage().contains("CPU only"));
            assertThrows(IllegalArgumentException.class, () -> backend.quantize(w.reshape(32), int4, QuantizeOptions.DEFAULT, arena));
            assertThrows(IllegalArgumentException.class, () -> backend.quantize(w, new Scheme.Int8(), QuantizeOptions.DEFAULT, arena));
            try (DeviceMemory floats = backend.context().allocate(w.data().byteSize())) {
                backend.upload(floats.address(), w.data());
                try (DeviceMatrix matrix = backend.quantize(DeviceTensor.of(floats, DType.F32, 4, 8), int4, QuantizeOptions.DEFAULT)) {
                    assertTrue(assertThrows(IllegalArgumentException.class, () -> other.load(matrix, null)).getMessage().contains("another backend"));
                }
            }
        }
    }
}
