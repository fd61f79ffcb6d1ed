package io.lowbit.cuda;

import io.lowbit.backend.Linear;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Function;
import io.lowbit.cuda.driver.Owner;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.CanonicalLayout;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.ElementTypes;
import io.lowbit.cuda.kernels.Fp8Activations;
import io.lowbit.cuda.kernels.LayerWeights;
import io.lowbit.cuda.kernels.MatrixArgument;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.cuda.kernels.Product;
import io.lowbit.cuda.kernels.ProductKernel;
import io.lowbit.cuda.kernels.SchemeKernels;
import io.lowbit.cuda.kernels.Selection;
import io.lowbit.cuda.kernels.WeightLayout;
import io.lowbit.events.RepackEvent;
import io.lowbit.quant.Accumulation;
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
    private final long biasBytes;
    private final DeviceMemory memory;
    private final Arena arena;
    private final LayerWeights weights;
    private final Selection selection;
    private final LayerActivations activations;
    private final KernelChoice choice;

    /** Writes the weights and the bias of a new layer to the device. */
    private interface Content {
        /**
         * @param matrix scratch for a {@code struct Matrix}
         */
        void write(CudaLinear layer, long weights, long bias, MemorySegment matrix);
    }

    /** The caller has counted the layer into the backend. */
    private CudaLinear(CudaBackend backend, KernelChoice choice, MatrixShape shape, long biasBytes, int biasType, Content content) {
        super("the layer " + shape);
        this.backend = backend;
        this.activations = new LayerActivations(backend, this);
        this.shape = shape;
        this.scheme = shape.scheme();
        this.n = shape.n();
        this.k = shape.k();
        this.choice = choice;
        this.layout = choice.layout(backend.kernels(), shape);
        this.biasBytes = biasBytes;
        long biasOffset = Math.ceilDiv(layout.bytes(shape), ALIGNMENT) * ALIGNMENT;
        long bytes = biasOffset + Math.ceilDiv(biasBytes, ALIGNMENT) * ALIGNMENT;
        this.memory = backend.context().allocate(bytes);
        this.arena = Arena.ofShared();
        boolean done = false;
        try {
            long base = bytes == 0 ? 0 : memory.address();
            long bias = biasBytes == 0 ? 0 : base + biasOffset;
            MemorySegment matrix = arena.allocate(MatrixArgument.BYTES, 8);
            content.write(this, base, bias, matrix);
            layout.describe(shape, base, matrix);
            this.weights = new LayerWeights(shape, layout, base, matrix, bias, biasType, arena);
            this.selection = choice.prepare(backend.kernels(), weights);
            done = true;
        } finally {
            if (!done) {
                arena.close();
                memory.close();
            }
        }
    }

    /** Of a matrix in host memory. The caller has checked the bias. */
    static CudaLinear of(CudaBackend backend, QuantizedMatrix w, Tensor biasTensor) {
        MatrixShape shape = MatrixShape.of(w);
        return new CudaLinear(backend, backend.choice(), shape, bytes(biasTensor), type(biasTensor), (layer, base, bias, matrix) -> {
            if (layer.layout == CanonicalLayout.INSTANCE) {
                DeviceMatrix.upload(backend, w, base);
            } else {
                try (DeviceMemory canonical = backend.context().allocate(CanonicalLayout.INSTANCE.bytes(shape))) {
                    DeviceMatrix.upload(backend, w, canonical.address());
                    layer.pack(canonical.address(), base, matrix);
                }
            }
            if (biasTensor != null) {
                backend.upload(bias, biasTensor.data());
            }
        });
    }

    /** Of a matrix in device memory. The caller has checked the bias and keeps the matrix open. */
    static CudaLinear of(CudaBackend backend, KernelChoice choice, MatrixShape shape, long canonical, Tensor biasTensor) {
        return new CudaLinear(backend, choice, shape, bytes(biasTensor), type(biasTensor), (layer, base, bias, matrix) -> {
            if (layer.layout == CanonicalLayout.INSTANCE) {
                layer.backend.onLane(lane -> {
                    if (layer.layout.bytes(shape) > 0) {
                        lane.stream().copy(base, canonical, layer.layout.bytes(shape));
                    }
                });
            } else {
                layer.pack(canonical, base, matrix);
            }
            if (biasTensor != null) {
                backend.upload(bias, biasTensor.data());
            }
        });
    }

    private static long bytes(Tensor bias) {
        return bias == null ? 0 : bias.data().byteSize();
    }

    private static int type(Tensor bias) {
        return bias == null ? 0 : ElementTypes.of(bias.dtype());
    }

    /** Lets the device pack the canonical parts. */
    private void pack(long canonical, long base, MemorySegment matrix) {
        RepackEvent event = new RepackEvent();
        event.begin();
        CanonicalLayout.INSTANCE.describe(shape, canonical, matrix);
        backend.onLane(lane -> {
            lane.stream().fill(base, (byte) 0, layout.bytes(shape));
            layout.pack(backend.kernels(), lane.stream(), shape, matrix, base);
        });
        event.finish(layout.name(), shape);
    }

    /**
     * The same layer once more in device memory of its own, copied on the device: for programs that want several, such as
     * benchmarks that read cold weights.
     */
    public CudaLinear duplicate() {
        acquire();
        try {
            return backend.add(() -> new CudaLinear(backend, choice, shape, biasBytes, weights.biasType(), (layer, base, bias, matrix) ->
                    backend.onLane(lane -> {
                        if (layout.bytes(shape) > 0) {
                            lane.stream().copy(base, weights.address(), layout.bytes(shape));
                        }
                        if (biasBytes > 0) {
                            lane.stream().copy(bias, weights.bias(), biasBytes);
                        }
                    })));
        } finally {
            release();
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
        host(x, y, null, Accumulation.EXACT, false);
    }

    /** {@inheritDoc} Copies x and y to the device and y back; returns when y is there. */
    @Override
    public void forwardAdd(Tensor x, Tensor y) {
        host(x, y, null, Accumulation.EXACT, true);
    }

    /**
     * y = x · Wᵀ (+ bias) with x quantized on the device and multiplied in 8 bits. FP8 weights take E4M3, those in E4M3 also E5M2 (W8A8),
     * INT4 weights take E4M3 or INT8 (W4A8), on Ada symmetric ones also INT4 (W4A4). Against the product of the quantized operands,
     * |y − y₆₄| ≤ ((K+2)·2⁻²⁴ + r)·Σ|x||w| per element, where r is what the kernel's {@link ProductKernel#operandRounding}
     * says: 0 with {@link Accumulation#EXACT}. For INT4 weights, and for activations in E5M2, the first such product of a
     * kernel loads it and must not be captured in a graph.
     *
     * @param accumulation what may be lost in summing; a kernel that loses less may serve
     * @throws IllegalArgumentException when the device has no kernel for such weights and activations
     */
    public void forwardQuantized(Tensor x, Tensor y, ActivationScaling scaling, Accumulation accumulation) {
        host(x, y, scaling, accumulation, false);
    }

    private void host(Tensor x, Tensor y, ActivationScaling scaling, Accumulation accumulation, boolean add) {
        acquire();
        try {
            long m = ProductArguments.check(scheme, n, k, x.dtype(), x.shape(), y.dtype(), y.shape());
            ProductArguments.checkMemory(x, y);
            if (m == 0 || n == 0) {
                return;
            }
            Lane lane = backend.lanes().take();
            try {
                lane.forward(this, x, y, scaling, accumulation, add);
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
        device(stream, x, y, null, Accumulation.EXACT, null, false);
    }

    /**
     * Adds y = y + x · Wᵀ (+ bias) to {@code stream} as one kernel, the residual connection of a transformer, and returns; may be
     * captured in a graph. Sums are added to y in f32, and rounded once.
     *
     * @param x {@code [M, K]}
     * @param y {@code [M, N]}, apart from x
     */
    public void forwardAdd(Stream stream, DeviceTensor x, DeviceTensor y) {
        device(stream, x, y, null, Accumulation.EXACT, null, true);
    }

    /**
     * Adds the quantization of x and the product in 8 bits to {@code stream}, as
     * {@link #forwardQuantized(Tensor, Tensor, ActivationScaling, Accumulation)}: {@link LayerActivations#quantize}, then {@link #multiply}.
     *
     * @param workspace at least {@link #workspaceBytes} bytes that nobody else uses until the product has run
     */
    public void forwardQuantized(Stream stream, DeviceTensor x, DeviceTensor y, ActivationScaling scaling, Accumulation accumulation,
            DeviceMemory workspace) {
        requireWorkspace(workspace, x.shape().rank() == 2 ? x.shape().dim(0) : 0);
        device(stream, x, y, scaling, accumulation, workspace, false);
    }

    /** What quantizes x for this layer. */
    public LayerActivations activations() {
        return activations;
    }

    /**
     * Adds y = x · Wᵀ (+ bias) to {@code stream}, where x is what {@link #activations} have made.
     *
     * @param y {@code [M, N]}
     * @param scaling as x was quantized
     */
    public void multiply(Stream stream, DeviceMemory activations, DeviceTensor y, ActivationScaling scaling, Accumulation accumulation) {
        acquire();
        try {
            requireStream(stream);
            if (y.shape().rank() != 2 || y.shape().dim(1) != n) {
                throw new IllegalArgumentException(label() + ": expected y [M, " + n + "], got " + y.shape());
            }
            long m = y.shape().dim(0);
            requireWorkspace(activations, m);
            if (m > 0 && n > 0) {
                product(m, y.dtype(), y.dtype(), scaling, accumulation).enqueue(stream, m, 0, 0, y.address(), ElementTypes.of(y.dtype()),
                        activations.address());
            }
        } finally {
            release();
        }
    }

    /**
     * Adds the product as 8-bit codes to {@code stream}, so that layers in FP8 follow each other with nothing wider in between. With
     * y = x · Wᵀ (+ bias) as {@link #multiply} sums it, in f32, and a scale s for all of y that the caller knows beforehand,
     *
     * <pre>y₈ = code(y · (1/s))     1/s rounded to f32, codes to the nearest, ties to even, saturating</pre>
     *
     * and {@code out} is what {@link LayerActivations#quantize} would make of y if it found the scale s: any layer with K = {@link #outFeatures} may
     * multiply it. Where |y| ≤ 448·s, E4M3 adds an error of at most 2⁻⁴·|y| + 2⁻¹⁰·s to that of y; E5M2, where |y| ≤ 57344·s, at
     * most 2⁻³·|y| + 2⁻¹⁷·s.
     *
     * @param m rows of x
     * @param scaling as x was quantized
     * @param out at least {@link #outputBytes} bytes, apart from {@code activations}
     * @param outScaling {@code TENSOR} for E4M3, {@code TENSOR_E5M2} for E5M2
     * @param outScale s, from 2⁻¹²⁶ to 2¹²⁶; for E4M3 the largest |y| that calibration has seen, over 448
     * @throws IllegalArgumentException when the device has no such kernel; all FP8 weights that take activations so have one
     */
    public void multiplyQuantized(Stream stream, DeviceMemory activations, long m, ActivationScaling scaling, Accumulation accumulation,
            DeviceMemory out, ActivationScaling outScaling, float outScale) {
        acquire();
        try {
            requireStream(stream);
            requireWorkspace(activations, m);
            if (!outScaling.tensor()) {
                throw new IllegalArgumentException("y in " + outScaling.label() + ": expected one scale for all of it, e4m3-tensor or e5m2-tensor");
            }
            if (!(outScale >= 0x1p-126f && outScale <= 0x1p126f)) {
                throw new IllegalArgumentException("scale of y " + outScale + ": expected 2^-126 to 2^126");
            }
            if (out.bytes() < outputBytes(m)) {
                throw new IllegalArgumentException("memory for y of " + out.bytes() + " bytes: expected at least " + outputBytes(m));
            }
            ProductArguments.checkApart(activations.address(), workspaceBytes(m), out.address(), outputBytes(m));
            if (m > 0 && n > 0) {
                Product product = product(m, DType.BF16, DType.BF16, scaling, accumulation);
                if (!product.kernel().writesCodes()) {
                    throw new IllegalArgumentException(scheme.label() + ": no kernel here writes y in 8 bits; use multiply, then quantize");
                }
                product.enqueueCodes(stream, m, out.address(), outScaling, outScale, activations.address());
            }
        } finally {
            release();
        }
    }

    /** Device bytes that {@link #multiplyQuantized} needs for M rows of y. */
    public long outputBytes(long m) {
        return Fp8Activations.bytes(m, n);
    }

    String label() {
        return scheme.label() + " [" + n + ", " + k + "]";
    }

    void requireWorkspace(DeviceMemory workspace, long m) {
        if (workspace.bytes() < workspaceBytes(m)) {
            throw new IllegalArgumentException("workspace of " + workspace.bytes() + " bytes: expected at least " + workspaceBytes(m));
        }
    }

    void requireStream(Stream stream) {
        if (stream.context() != backend.context()) {
            throw new IllegalArgumentException("the stream belongs to another context than the layer; open it from the layer's backend");
        }
    }

    private void device(Stream stream, DeviceTensor x, DeviceTensor y, ActivationScaling scaling, Accumulation accumulation, DeviceMemory workspace,
            boolean add) {
        acquire();
        try {
            requireStream(stream);
            long m = ProductArguments.check(scheme, n, k, x.dtype(), x.shape(), y.dtype(), y.shape());
            ProductArguments.checkApart(x.address(), x.bytes(), y.address(), y.bytes());
            if (m > 0 && n > 0) {
                enqueue(stream, m, m, x.address(), x.dtype(), y.address(), y.dtype(), scaling, accumulation,
                        workspace == null ? 0 : workspace.address(), add);
            }
        } finally {
            release();
        }
    }

    /** Device bytes that {@code forwardQuantized} needs for M rows: the quantized activations. */
    public long workspaceBytes(long m) {
        return Fp8Activations.bytes(m, k);
    }

    /**
     * What makes a product of M rows.
     *
     * @throws IllegalArgumentException where no kernel multiplies activations quantized so
     */
    private Product product(long m, DType x, DType y, ActivationScaling scaling, Accumulation accumulation) {
        Product product = selection.pick(m, x, y, scaling, accumulation);
        if (product == null) {
            throw new IllegalArgumentException(scheme.label() + ": no kernel here takes " + scaling.label() + " activations: E4M3 needs FP8 weights "
                    + "scaled per tensor, per channel or in blocks whose width is a multiple of 128, or INT4 weights in groups of 32, "
                    + "64 or a multiple of 128 without act-order; INT8 those INT4 weights; INT4, on Ada, symmetric ones in groups of 64 or more; "
                    + "E5M2 needs such FP8 weights in E4M3; use forward");
        }
        return product;
    }

    /** The layout the weights lie in. */
    public WeightLayout layout() {
        return layout;
    }

    /** The kernel that makes a product of M rows. */
    public ProductKernel kernel(long m, DType x, DType y) {
        return selection.pick(m, x, y, null, Accumulation.EXACT).kernel();
    }

    /** The kernel that makes a product of M rows with activations quantized so; null where there is none. */
    public ProductKernel kernel(long m, DType x, DType y, ActivationScaling scaling, Accumulation accumulation) {
        Product product = selection.pick(m, x, y, scaling, accumulation);
        return product == null ? null : product.kernel();
    }

    @Override
    public double operandRounding(long m, DType x, DType y) {
        return kernel(m, x, y).operandRounding(scheme, x);
    }

    /**
     * Adds the product of {@code rows} rows of a call with {@code m} rows, which decides the kernel.
     *
     * @param add to y; for activations as they come
     */
    void enqueue(Stream stream, long m, long rows, long x, DType xType, long y, DType yType, ActivationScaling scaling, Accumulation accumulation,
            long activations, boolean add) {
        Product product = product(m, xType, yType, scaling, accumulation);
        if (scaling != null) {
            backend.activations().quantize(stream, scaling, x, ElementTypes.of(xType), rows, k, layout.interleaved(), activations);
        }
        product.enqueue(stream, rows, x, ElementTypes.of(xType), y, ElementTypes.of(yType) | (add ? ElementTypes.ADD : 0), activations);
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
            backend.onLane(lane -> lane.stream().download(out, weights.address(), layout.bytes(shape)));
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
