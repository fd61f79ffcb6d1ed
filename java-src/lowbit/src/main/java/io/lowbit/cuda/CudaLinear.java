package io.lowbit.cuda;

import io.lowbit.backend.Linear;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Owner;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.cuda.kernels.LayerWeights;
import io.lowbit.cuda.kernels.MatrixArgument;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.Product;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.cuda.kernels.Selection;
import io.lowbit.cuda.kernels.WeightLayout;
import io.lowbit.quant.ActivationScaling;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A linear layer in device memory. The weights lie there once, in the layout of the kernel that the backend's choice
 * prefers for their scheme and size; they are decoded inside of the products and never stored as floats.
 *
 * <p>{@link #kernel} says which kernel makes a product. The exact ones ({@code gemv}, {@code linear}) round no operand:
 * weights count as the f32 that {@link QuantizedMatrix#value} gives and activations as they come; {@code linear} cuts both
 * into bf16 pieces that add up exactly, and an infinite activation gives NaN there, since infinity times a zero piece is
 * NaN. Faster kernels may round scaled weights to the type of the activations: {@link #operandRounding} says how much.
 */
public final class CudaLinear extends Owner implements Linear {
    private static final long ALIGNMENT = 256;
    private static final int DEQUANTIZE_THREADS = 256;
    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16};

    private final CudaBackend backend;
    private final MatrixShape shape;
    private final Scheme scheme;
    private final long n;
    private final long k;
    private final WeightLayout layout;
    private final DeviceMemory memory;
    private final Arena arena;
    private final LayerWeights weights;
    private final Selection selection;

    /** Uploads the matrix; the caller has checked the bias and counted the layer into the backend. */
    CudaLinear(CudaBackend backend, QuantizedMatrix w, Tensor biasTensor) {
        super("the layer " + w);
        this.backend = backend;
        this.shape = MatrixShape.of(w);
        this.scheme = w.scheme();
        this.n = w.n();
        this.k = w.k();
        this.layout = backend.choice().layout(backend.kernels(), shape);
        long biasOffset = Math.ceilDiv(layout.bytes(shape), ALIGNMENT) * ALIGNMENT;
        long bytes = biasOffset + (biasTensor == null ? 0 : Math.ceilDiv(biasTensor.data().byteSize(), ALIGNMENT) * ALIGNMENT);
        this.memory = backend.context().allocate(bytes);
        this.arena = Arena.ofShared();
        boolean done = false;
        try {
            long base = bytes == 0 ? 0 : memory.address();
            MemorySegment matrix = arena.allocate(MatrixArgument.BYTES, 8);
            if (layout == CanonicalLayout.INSTANCE) {
                uploadCanonical(w, base);
            } else {
                pack(w, base, matrix);
            }
            layout.describe(shape, base, matrix);
            if (biasTensor != null) {
                backend.upload(base + biasOffset, biasTensor.data());
            }
            this.weights = new LayerWeights(shape, layout, base, matrix, biasTensor == null ? 0 : base + biasOffset,
                    biasTensor == null ? 0 : ElementTypes.of(biasTensor.dtype()), arena);
            this.selection = backend.choice().prepare(backend.kernels(), weights);
            done = true;
        } finally {
            if (!done) {
                arena.close();
                memory.close();
            }
        }
    }

    /** A copy of {@code of}'s memory; the caller has counted the layer into the backend. */
    private CudaLinear(CudaLinear of) {
        super("a copy of the layer " + of.scheme.label() + " [" + of.n + ", " + of.k + "]");
        this.backend = of.backend;
        this.shape = of.shape;
        this.scheme = of.scheme;
        this.n = of.n;
        this.k = of.k;
        this.layout = of.layout;
        this.memory = backend.context().allocate(of.memory.bytes());
        this.arena = Arena.ofShared();
        boolean done = false;
        try {
            if (memory.bytes() > 0) {
                Lane lane = backend.lanes().take();
                try {
                    lane.stream().copy(memory.address(), of.memory.address(), memory.bytes());
                    lane.stream().synchronize();
                } finally {
                    backend.lanes().give(lane);
                }
            }
            MemorySegment matrix = arena.allocate(MatrixArgument.BYTES, 8);
            layout.describe(shape, memory.address(), matrix);
            long bias = of.weights.bias() == 0 ? 0 : memory.address() + (of.weights.bias() - of.memory.address());
            this.weights = new LayerWeights(shape, layout, memory.address(), matrix, bias, of.weights.biasType(), arena);
            this.selection = backend.choice().prepare(backend.kernels(), weights);
            done = true;
        } finally {
            if (!done) {
                arena.close();
                memory.close();
            }
        }
    }

    /**
     * The same layer a second time in device memory, copied there without the host: for measurements that must not find
     * their weights in a cache. To be closed like any other.
     */
    public CudaLinear duplicate() {
        acquire();
        try {
            return backend.counted(() -> new CudaLinear(this));
        } finally {
            release();
        }
    }

    private void uploadCanonical(QuantizedMatrix w, long base) {
        CanonicalLayout.Parts parts = CanonicalLayout.Parts.of(shape);
        Tensor[] tensors = CanonicalLayout.tensors(w);
        for (int i = 0; i < tensors.length; i++) {
            if (tensors[i] != null) {
                backend.upload(base + parts.offset(i), tensors[i].data());
            }
        }
    }

    /** Uploads the canonical parts to memory that is given back here, and lets the device pack them. */
    private void pack(QuantizedMatrix w, long base, MemorySegment matrix) {
        long bytes = CanonicalLayout.INSTANCE.bytes(shape);
        try (DeviceMemory canonical = backend.context().allocate(bytes)) {
            uploadCanonical(w, canonical.address());
            CanonicalLayout.INSTANCE.describe(shape, canonical.address(), matrix);
            Lane lane = backend.lanes().take();
            try {
                lane.stream().fill(base, (byte) 0, layout.bytes(shape));
                layout.pack(backend.kernels(), lane.stream(), shape, matrix, base);
                lane.stream().synchronize();
            } finally {
                backend.lanes().give(lane);
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
                enqueue(stream, m, m, x.address(), x.dtype(), y.address(), y.dtype(), scaling, workspace == null ? 0 : workspace.address());
            }
        } finally {
            release();
        }
    }

    /** Device bytes that {@code forwardQuantized} needs for M rows, whatever the types and the scaling. */
    public long workspaceBytes(long m) {
        long most = 0;
        for (ActivationScaling scaling : ActivationScaling.values()) {
            for (DType x : TYPES) {
                for (DType y : TYPES) {
                    Product product = selection.pick(Math.max(m, 1), x, y, scaling);
                    most = Math.max(most, product == null ? 0 : product.kernel().activationBytes(m, n, k, scaling));
                }
            }
        }
        return most;
    }

    private void requireFp8() {
        if (selection.pick(1, DType.F32, DType.F32, ActivationScaling.ROW) == null) {
            throw new IllegalArgumentException(scheme.label() + ": FP8 activations need FP8 weights, scaled per tensor, per channel or in "
                    + "blocks whose width is a multiple of 128; use forward");
        }
    }

    /** The layout the weights lie in. */
    public WeightLayout layout() {
        return layout;
    }

    /** The kernel that makes a product of M rows. */
    public ProductKernel kernel(long m, DType x, DType y) {
        return selection.pick(m, x, y, null).kernel();
    }

    /** The kernel that makes a product of M rows with activations quantized so; null where there is none. */
    public ProductKernel kernel(long m, DType x, DType y, ActivationScaling scaling) {
        Product product = selection.pick(m, x, y, scaling);
        return product == null ? null : product.kernel();
    }

    @Override
    public double operandRounding(long m, DType x, DType y) {
        return kernel(m, x, y).operandRounding(scheme, x);
    }

    /** Adds the product of {@code rows} rows of a call with {@code m} rows, which decides the kernel. */
    void enqueue(Stream stream, long m, long rows, long x, DType xType, long y, DType yType, ActivationScaling scaling, long activations) {
        selection.pick(m, xType, yType, scaling).enqueue(stream, rows, x, ElementTypes.of(xType), y, ElementTypes.of(yType), activations);
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
                    Function function = backend.kernels().function(SchemeKernels.file("dequantize", scheme), "dequantize_" + layout.suffix(scheme));
                    lane.stream().arguments().struct(weights.matrix()).int64(device.address()).int32(type);
                    lane.stream().launch(function, Math.clamp(Math.ceilDiv(n * k, 256L), 1, 1 << 20), 1, DEQUANTIZE_THREADS, 0);
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

    /** The weights as they lie on the device, for the tests of layouts: {@link WeightLayout#bytes} bytes. */
    void download(MemorySegment out) {
        acquire();
        try {
            Lane lane = backend.lanes().take();
            try {
                lane.stream().download(out, weights.address(), layout.bytes(shape));
                lane.stream().synchronize();
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
