package io.lowbit.cli.bench.gpu;

import io.lowbit.cuda.DeviceTensor;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;

/**
 * Activations and outputs of one case: as many copies as there are launches on different memory. Every copy of x holds
 * other numbers of the same distribution; those of copy 0 depend on M and K only, so every contender multiplies the same.
 */
final class Activations implements AutoCloseable {
    private static final long ALIGNMENT = 256;

    private final BenchKernels kernels;
    private final Buffer xs;
    private final Buffer ys;
    private final Buffer codes;
    private final Buffer scales;
    private DType dtype;
    private long m;
    private long n;
    private long k;
    private int copies;
    private long width;
    private boolean quantized;
    private boolean int8;
    private boolean keepsCodes;

    Activations(Context context, BenchKernels kernels) {
        this.kernels = kernels;
        this.xs = new Buffer(context);
        this.ys = new Buffer(context);
        this.codes = new Buffer(context);
        this.scales = new Buffer(context);
    }

    /**
     * Makes copies of x and poisons y.
     *
     * @param scaling null to leave x as it is; else copy 0 is also quantized
     * @param everyCopy true to quantize all copies
     */
    void prepare(Stream stream, DType type, long rows, long outputs, long inputs, int count, long seed, ActivationScaling scaling, boolean everyCopy) {
        dtype = type;
        m = rows;
        n = outputs;
        k = inputs;
        copies = count;
        quantized = scaling != null;
        int8 = scaling == ActivationScaling.ROW_INT8;
        width = scaling == null ? 0 : width(scaling, k);
        keepsCodes = everyCopy;
        xs.reserve(copies * xStep());
        ys.reserve(copies * yStep());
        for (int i = 0; i < copies; i++) {
            kernels.normal(stream, x(i), seed + m + ((long) i << 32), 1f);
        }
        if (quantized) {
            codes.reserve((everyCopy ? copies : 1) * codeStep());
            scales.reserve((everyCopy ? copies : 1) * scaleStep() + ALIGNMENT);
            for (int i = 0; i < (everyCopy ? copies : 1); i++) {
                kernels.quantize(stream, x(i), width, int8, scaling == ActivationScaling.BLOCK32_E8M0 || scaling == ActivationScaling.BLOCK128_UE8M0, word(),
                        codes(i), scales(i));
            }
        }
        poison(stream);
    }

    private static long width(ActivationScaling scaling, long k) {
        return switch (scaling) {
            case TENSOR, TENSOR_E5M2 -> 0;
            case ROW, ROW_INT8, ROW_E5M2 -> k;
            case BLOCK128, BLOCK128_UE8M0 -> 128;
            case BLOCK32_E8M0 -> 32;
            case ROW_INT4 -> throw new IllegalArgumentException("activations in " + scaling.label() + " are not timed");
        };
    }

    /** Fills all outputs with NaN. */
    void poison(Stream stream) {
        stream.fill(ys.reserve(0), (byte) 0xff, copies * yStep());
    }

    DeviceTensor x(int copy) {
        return new DeviceTensor(dtype, Shape.of(m, k), xs.reserve(0) + copy * xStep());
    }

    DeviceTensor y(int copy) {
        return new DeviceTensor(dtype, Shape.of(m, n), ys.reserve(0) + copy * yStep());
    }

    /** Codes {@code [M, K]} of a copy of x; 0 where it is not quantized. */
    long codes(int copy) {
        return quantized && (copy == 0 || keepsCodes) ? codes.reserve(0) + copy * codeStep() : 0;
    }

    /** f32 scales of those codes. */
    long scales(int copy) {
        return scales.reserve(0) + copy * scaleStep();
    }

    /** True where the codes are INT8, false where they are E4M3. */
    boolean int8() {
        return int8;
    }

    /** Neighbours that share a scale, 0 for all. */
    long width() {
        return width;
    }

    long m() {
        return m;
    }

    long n() {
        return n;
    }

    long k() {
        return k;
    }

    int copies() {
        return copies;
    }

    private long word() {
        return scales.reserve(0) + (keepsCodes ? copies : 1) * scaleStep();
    }

    private long xStep() {
        return aligned(m * k * dtype.bits() / 8);
    }

    private long yStep() {
        return aligned(m * n * dtype.bits() / 8);
    }

    private long codeStep() {
        return aligned(m * k);
    }

    private long scaleStep() {
        return aligned(4 * (width == 0 ? 1 : m * Math.ceilDiv(k, width)));
    }

    private static long aligned(long bytes) {
        return Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
    }

    @Override
    public void close() {
        xs.close();
        ys.close();
        codes.close();
        scales.close();
    }
}
