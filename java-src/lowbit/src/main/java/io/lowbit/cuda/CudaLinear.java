package io.lowbit.cuda;

import io.lowbit.backend.Linear;
import io.lowbit.cuda.driver.Arguments;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Owner;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.cuda.kernels.KernelFamily;
import io.lowbit.cuda.kernels.MatrixArgument;
import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A linear layer in device memory, in the canonical layout of its scheme. The weights are decoded inside of the products
 * and never stored as floats.
 *
 * <p>Products round no operand: weights count as the f32 that {@link QuantizedMatrix#value} gives and activations as they
 * come; both are cut into bf16 pieces that add up exactly, and the tensor cores sum all products of pieces in f32. With
 * more than 8 rows an infinite activation gives NaN, since infinity times a zero piece is NaN.
 */
public final class CudaLinear extends Owner implements Linear {
    private static final int MOST_BLOCKS_Y = 65535;
    private static final long ALIGNMENT = 256;

    private final CudaBackend backend;
    private final Scheme scheme;
    private final long n;
    private final long k;
    private final DeviceMemory memory;
    private final Arena arena;
    private final MemorySegment matrix;
    private final long bias;
    private final int biasType;
    private final int weightPieces;
    private final Function gemv;
    private final Function linear;

    /** Uploads the matrix; the caller has checked the bias and counted the layer into the backend. */
    CudaLinear(CudaBackend backend, QuantizedMatrix w, Tensor biasTensor) {
        super("the layer " + w);
        this.backend = backend;
        this.scheme = w.scheme();
        this.n = w.n();
        this.k = w.k();
        this.weightPieces = SchemeKernels.weightPieces(scheme);
        this.gemv = backend.kernels().function(KernelFamily.GEMV, "gemv", scheme);
        this.linear = backend.kernels().function(KernelFamily.LINEAR, "linear", scheme);

        Tensor[] parts = {w.codes(), w.scales(), w.zeros(), w.nested() == null ? null : w.nested().codes(),
            w.nested() == null ? null : w.nested().absmax(), w.nested() == null ? w.groups() : w.nested().map(), biasTensor};
        long[] at = new long[parts.length];
        long bytes = 0;
        for (int i = 0; i < parts.length; i++) {
            at[i] = bytes;
            if (parts[i] != null) {
                bytes = Math.ceilDiv(bytes + parts[i].data().byteSize(), ALIGNMENT) * ALIGNMENT;
            }
        }
        this.memory = backend.context().allocate(bytes);
        this.arena = Arena.ofShared();
        boolean done = false;
        try {
            long base = bytes == 0 ? 0 : memory.address();
            for (int i = 0; i < parts.length; i++) {
                if (parts[i] == null) {
                    at[i] = 0;
                } else {
                    at[i] += base;
                    backend.upload(at[i], parts[i].data());
                }
            }
            this.matrix = arena.allocate(MatrixArgument.BYTES, 8);
            MatrixArgument.write(matrix, w, new MatrixArgument.Addresses(at[0], at[1], at[2], at[3], at[4], at[5]));
            this.bias = at[6];
            this.biasType = biasTensor == null ? 0 : ElementTypes.of(biasTensor.dtype());
            done = true;
        } finally {
            if (!done) {
                arena.close();
                memory.close();
            }
        }
    }

    @Override
    public long outFeatures() {
        return n;
    }

    @Override
    public long inFeatures() {
        return k;
    }

    @Override
    public Scheme scheme() {
        return scheme;
    }

    @Override
    public long bytes() {
        return memory.bytes();
    }

    /** {@inheritDoc} Copies x to the device and y back; returns when y is there. */
    @Override
    public void forward(Tensor x, Tensor y) {
        host(x, y, null);
    }

    /**
     * y = x · Wᵀ (+ bias) with x quantized to E4M3 on the device and multiplied in FP8: W8A8. Per element
     * |y − y₆₄| ≤ (K+2)·2⁻²⁴·Σ|x||w| against the product of the quantized operands.
     *
     * @throws IllegalArgumentException when the scheme is not FP8, or scaled in blocks whose width is no multiple of 128
     */
    public void forwardQuantized(Tensor x, Tensor y, ActivationScaling scaling) {
        requireFp8();
        host(x, y, scaling);
    }

    private void host(Tensor x, Tensor y, ActivationScaling scaling) {
        acquire();
        try {
            long m = ProductArguments.check(scheme, n, k, x.dtype(), x.shape(), y.dtype(), y.shape());
            if (x.data().isNative() && y.data().isNative()) {
                ProductArguments.checkApart(x.data().address(), x.data().byteSize(), y.data().address(), y.data().byteSize());
            }
            if (m == 0 || n == 0) {
                return;
            }
            Lane lane = backend.lanes().take();
            try {
                lane.forward(this, x, y, scaling);
            } finally {
                backend.lanes().give(lane);
            }
        } finally {
            release();
        }
    }

    /**
     * Adds y = x · Wᵀ (+ bias) to {@code stream} and returns; may be captured in a graph. The layer, x and y must live
     * until it has run.
     *
     * @param x {@code [M, K]}
     * @param y {@code [M, N]}, apart from x
     */
    public void forward(Stream stream, DeviceTensor x, DeviceTensor y) {
        device(stream, x, y, null, null);
    }

    /**
     * Adds the product in FP8 to {@code stream}, as {@link #forwardQuantized(Tensor, Tensor, ActivationScaling)}.
     *
     * @param workspace at least {@link #workspaceBytes} bytes that nobody else uses until the product has run
     */
    public void forwardQuantized(Stream stream, DeviceTensor x, DeviceTensor y, ActivationScaling scaling, DeviceMemory workspace) {
        requireFp8();
        long needed = workspaceBytes(x.shape().rank() == 2 ? x.shape().dim(0) : 0);
        if (workspace.bytes() < needed) {
            throw new IllegalArgumentException("workspace of " + workspace.bytes() + " bytes: expected at least " + needed);
        }
        device(stream, x, y, scaling, workspace);
    }

    private void device(Stream stream, DeviceTensor x, DeviceTensor y, ActivationScaling scaling, DeviceMemory workspace) {
        acquire();
        try {
            if (stream.context() != backend.context()) {
                throw new IllegalArgumentException("the stream belongs to another context than the layer; open it from the layer's backend");
            }
            long m = ProductArguments.check(scheme, n, k, x.dtype(), x.shape(), y.dtype(), y.shape());
            ProductArguments.checkApart(x.address(), x.bytes(), y.address(), y.bytes());
            if (m > 0 && n > 0) {
                enqueue(stream, m, m, x.address(), x.dtype(), y.address(), y.dtype(), scaling, workspace);
            }
        } finally {
            release();
        }
    }

    /** Device bytes that {@code forwardQuantized} needs for M rows: codes, scales and one word. */
    public long workspaceBytes(long m) {
        return scalesOffset(m) + Math.ceilDiv(4 * m * (pitch() / 128), ALIGNMENT) * ALIGNMENT + ALIGNMENT;
    }

    private long pitch() {
        return Math.max(128, Math.ceilDiv(k, 128L) * 128);
    }

    private long scalesOffset(long m) {
        return Math.ceilDiv(m * pitch(), ALIGNMENT) * ALIGNMENT;
    }

    private void requireFp8() {
        if (!SchemeKernels.takesFp8Activations(scheme)) {
            throw new IllegalArgumentException(scheme.label() + ": FP8 activations need FP8 weights, scaled per tensor, per channel or in "
                    + "blocks whose width is a multiple of 128; use forward");
        }
    }

    /** Launches the product of {@code rows} rows of a call with {@code m} rows, which decides the kernel. */
    void enqueue(Stream stream, long m, long rows, long x, DType xType, long y, DType yType, ActivationScaling scaling, DeviceMemory workspace) {
        if (scaling != null) {
            quantized(stream, rows, x, xType, y, yType, scaling, workspace.address());
            return;
        }
        KernelFamily family = backend.choice().of(m);
        Arguments arguments = stream.arguments();
        arguments.struct(matrix).int64(x).int32(ElementTypes.of(xType)).int64(y).int32(ElementTypes.of(yType)).int64(bias).int32(biasType)
                .int64(rows);
        if (family == KernelFamily.LINEAR) {
            arguments.int32(weightPieces);
        }
        stream.launch(family == KernelFamily.LINEAR ? linear : gemv, Math.ceilDiv(n, (long) family.columns()),
                Math.min(MOST_BLOCKS_Y, Math.ceilDiv(rows, (long) family.rows())), family.threads(), 0);
    }

    private void quantized(Stream stream, long m, long x, DType xType, long y, DType yType, ActivationScaling scaling, long workspace) {
        long pitch = pitch();
        long blocks = pitch / 128;
        long scales = workspace + scalesOffset(m);
        long amax = workspace + workspaceBytes(m) - ALIGNMENT;
        int type = ElementTypes.of(xType);
        switch (scaling) {
            case TENSOR -> {
                stream.fill(amax, (byte) 0, 4);
                stream.arguments().int64(x).int32(type).int64(m * k).int64(amax);
                stream.launch(backend.w8a8("amax_x_tensor"), Math.clamp(Math.ceilDiv(m * k, 1024L), 1, 1024), 1, 256, 0);
                stream.arguments().int64(x).int32(type).int64(m).int64(k).int64(pitch).int64(amax).int64(workspace).int64(scales);
                stream.launch(backend.w8a8("quantize_x_tensor"), Math.min(m, 1 << 20), 1, 256, 0);
            }
            case ROW -> {
                stream.arguments().int64(x).int32(type).int64(m).int64(k).int64(pitch).int64(workspace).int64(scales);
                stream.launch(backend.w8a8("quantize_x_row"), Math.min(m, 1 << 20), 1, 256, 0);
            }
            case BLOCK128 -> {
                stream.arguments().int64(x).int32(type).int64(m).int64(k).int64(pitch).int64(workspace).int64(scales);
                stream.launch(backend.w8a8("quantize_x_block128"), Math.min(Math.ceilDiv(m * blocks, 8L), 1 << 20), 1, 256, 0);
            }
        }
        long rowStep = scaling == ActivationScaling.TENSOR ? 0 : scaling == ActivationScaling.ROW ? 1 : blocks;
        long colStep = scaling == ActivationScaling.BLOCK128 ? 1 : 0;
        boolean e4m3 = ((Scheme.Fp8) scheme).format() == Scheme.Fp8Format.E4M3;
        stream.arguments().struct(matrix).int64(workspace).int64(pitch).int64(scales).int64(rowStep).int64(colStep).int64(y)
                .int32(ElementTypes.of(yType)).int64(bias).int32(biasType).int64(m);
        stream.launch(backend.w8a8(e4m3 ? "linear_e4m3_e4m3_block" : "linear_e5m2_e4m3_block"),
                Math.ceilDiv(n, (long) KernelFamily.W8A8.columns()),
                Math.min(MOST_BLOCKS_Y, Math.ceilDiv(m, (long) KernelFamily.W8A8.rows())), KernelFamily.W8A8.threads(), 0);
    }

    /**
     * The weights as floats, computed on the device: for F32 the bits of {@link QuantizedMatrix#value}.
     *
     * @param out F32, F16 or BF16 {@code [N, K]} in native memory, overwritten
     */
    public void dequantize(Tensor out) {
        acquire();
        try {
            if (out.shape().rank() != 2 || out.dim(0) != n || out.dim(1) != k) {
                throw new IllegalArgumentException(scheme.label() + ": expected out [" + n + ", " + k + "], got " + out.shape());
            }
            int type = ElementTypes.of(out.dtype());
            Lane lane = backend.lanes().take();
            try (DeviceMemory device = DeviceMemory.allocate(lane.stream(), out.data().byteSize())) {
                if (device.bytes() > 0) {
                    Function function = backend.kernels().function(KernelFamily.DEQUANTIZE, "dequantize", scheme);
                    lane.stream().arguments().struct(matrix).int64(device.address()).int32(type);
                    lane.stream().launch(function, Math.clamp(Math.ceilDiv(n * k, 256L), 1, 1 << 20), 1, KernelFamily.DEQUANTIZE.threads(), 0);
                    lane.stream().download(out.data(), device.address(), device.bytes());
                    lane.stream().synchronize();
                }
            } finally {
                backend.lanes().give(lane);
            }
        } finally {
            release();
        }
    }

    @Override
    protected void free() {
        try {
            // Streams of callers may still run this layer's products.
            if (backend.context().broken() == null) {
                backend.context().synchronize();
            }
        } finally {
            arena.close();
            memory.close();
            backend.forget(this);
        }
    }
}
