package io.lowbit.cuda;

import io.lowbit.backend.Backend;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.DeviceMemory;
import io.lowbit.cuda.driver.Owner;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.Fp8Activations;
import io.lowbit.cuda.kernels.FusedActivations;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.Kernels;
import io.lowbit.cuda.kernels.MatrixShape;
import io.lowbit.events.LoadEvent;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** Linear layers on one NVIDIA GPU. */
public final class CudaBackend extends Owner implements Backend {
    private static final int LANES = 4;

    private final Context context;
    private final Kernels kernels;
    private final KernelChoice choice;
    private final Lanes lanes;
    /** Layers and matrices that are open. */
    private final Set<Owner> things = ConcurrentHashMap.newKeySet();
    private volatile Fp8Activations activations;
    private volatile FusedActivations fusedActivations;

    private CudaBackend(Context context, Kernels kernels, KernelChoice choice, Lanes lanes) {
        super("the CUDA backend");
        this.context = context;
        this.kernels = kernels;
        this.choice = choice;
        this.lanes = lanes;
    }

    /**
     * Opens GPU {@code ordinal} with the kernels that fit it.
     *
     * @throws io.lowbit.backend.BackendUnavailableException with the reason and the cure where it cannot be used
     */
    public static CudaBackend open(int ordinal) {
        return open(ordinal, null, KernelChoice.fromProperty());
    }

    /**
     * Opens GPU {@code ordinal} with kernels that the caller chooses, for tests and benchmarks.
     *
     * @param architecture null for the one that fits the GPU
     */
    public static CudaBackend open(int ordinal, Architecture architecture, KernelChoice choice) {
        Context context = Context.open(ordinal);
        boolean done = false;
        try {
            Architecture fitting = Architecture.of(context.device());
            Kernels kernels = new Kernels(context, architecture == null ? fitting : architecture);
            CudaBackend backend = new CudaBackend(context, kernels, choice, new Lanes(context, LANES));
            done = true;
            return backend;
        } finally {
            if (!done) {
                context.close();
            }
        }
    }

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public String description() {
        return context.device() + ", " + kernels.architecture().target() + " kernels";
    }

    /** The context, to open streams and allocate device memory from. */
    public Context context() {
        return context;
    }

    /** The kernels that fit the GPU, for work that is no linear layer's. */
    public Kernels kernels() {
        return kernels;
    }

    KernelChoice choice() {
        return choice;
    }

    Lanes lanes() {
        return lanes;
    }

    /** The quantizers of activations, loaded when first asked for. */
    Fp8Activations activations() {
        Fp8Activations known = activations;
        if (known == null) {
            known = new Fp8Activations(kernels);
            activations = known;
        }
        return known;
    }

    /** Those that make what they quantize, loaded when first asked for. */
    FusedActivations fusedActivations() {
        FusedActivations known = fusedActivations;
        if (known == null) {
            known = new FusedActivations(kernels);
            fusedActivations = known;
        }
        return known;
    }

    @Override
    public CudaLinear load(QuantizedMatrix weights, Tensor bias) {
        check(MatrixShape.of(weights), bias);
        LoadEvent event = new LoadEvent();
        event.begin();
        CudaLinear layer = add(() -> CudaLinear.of(this, weights, floats(bias)));
        event.finish(name(), weights.scheme().label(), weights.n(), weights.k(), layer.bytes());
        return layer;
    }

    /**
     * A layer of a matrix that lies on the device, which may be closed afterwards.
     *
     * @param bias as in {@link #load(QuantizedMatrix, Tensor)}
     */
    public CudaLinear load(DeviceMatrix weights, Tensor bias) {
        return load(weights, bias, choice);
    }

    /**
     * A layer of a matrix that lies on the device, whose products are made by kernels chosen otherwise than the backend's: for
     * measurements.
     *
     * @param bias as in {@link #load(QuantizedMatrix, Tensor)}
     */
    public CudaLinear load(DeviceMatrix weights, Tensor bias, KernelChoice choice) {
        if (weights.backend() != this) {
            throw new IllegalArgumentException(weights.shape() + " belongs to another backend; download it and load that");
        }
        check(weights.shape(), bias);
        weights.acquire();
        try {
            LoadEvent event = new LoadEvent();
            event.begin();
            CudaLinear layer = add(() -> CudaLinear.of(this, choice, weights.shape(), weights.address(), floats(bias)));
            event.finish(name(), weights.shape().scheme().label(), weights.shape().n(), weights.shape().k(), layer.bytes());
            return layer;
        } finally {
            weights.release();
        }
    }

    /** A bias as F32, exactly. */
    private static Tensor floats(Tensor bias) {
        if (bias == null || bias.dtype() == DType.F32) {
            return bias;
        }
        Tensor out = Tensor.allocate(Arena.ofAuto(), DType.F32, bias.dim(0));
        for (long i = 0; i < bias.dim(0); i++) {
            out.setFloat(i, bias.getFloat(i));
        }
        return out;
    }

    private static void check(MatrixShape weights, Tensor bias) {
        if (weights.n() > Integer.MAX_VALUE || weights.k() > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(weights + ": expected at most 2^31-1 rows and columns");
        }
        if (bias != null) {
            boolean floats = bias.dtype() == DType.F32 || bias.dtype() == DType.F16 || bias.dtype() == DType.BF16;
            if (!floats || bias.shape().rank() != 1 || bias.dim(0) != weights.n()) {
                throw new IllegalArgumentException("bias of " + weights + ": expected F32, F16 or BF16 [" + weights.n() + "], got "
                        + bias.dtype() + " " + bias.shape());
            }
        }
    }

    /** Makes something that lives in the backend's context and is closed with it; it calls {@link #forget} when freed. */
    <T extends Owner> T add(Supplier<T> make) {
        acquire();
        T made;
        try {
            made = make.get();
        } catch (RuntimeException e) {
            release();
            throw e;
        }
        things.add(made);
        if (isClosed()) {
            made.close();
        }
        return made;
    }

    /**
     * Quantizes on the device, with the bits of {@link io.lowbit.quant.Quantizer}.
     *
     * @param weights {@code [N out, K in]}, finished: no stream writes to it any more
     * @param options all but the clip search, which is the CPU's; {@code threads} means nothing here
     * @throws io.lowbit.quant.NonFiniteWeightsException for NaN or infinite weights under {@code NonFinite.REJECT}
     * @throws IllegalArgumentException as {@link io.lowbit.quant.Quantizer#quantize}
     * @throws io.lowbit.cuda.driver.DeviceOutOfMemoryException when the result does not fit; nothing has changed then
     */
    public DeviceMatrix quantize(DeviceTensor weights, Scheme scheme, QuantizeOptions options) {
        acquire();
        try {
            return DeviceQuantizer.quantize(this, weights, scheme, options);
        } finally {
            release();
        }
    }

    /** {@link #quantize(DeviceTensor, Scheme, QuantizeOptions)} of a matrix in host memory, the result in {@code arena}. */
    @Override
    public QuantizedMatrix quantize(Tensor weights, Scheme scheme, QuantizeOptions options, Arena arena) {
        acquire();
        try (DeviceMemory copy = context.allocate(weights.data().byteSize())) {
            upload(copy.address(), weights.data());
            DeviceTensor onDevice = new DeviceTensor(weights.dtype(), weights.shape(), copy.address());
            try (DeviceMatrix matrix = DeviceQuantizer.quantize(this, onDevice, scheme, options)) {
                return matrix.download(arena);
            }
        } finally {
            release();
        }
    }

    @Override
    public Tensor dequantize(QuantizedMatrix matrix, DType dtype, Arena arena) {
        Tensor out = Tensor.allocate(arena, dtype, matrix.n(), matrix.k());
        try (CudaLinear layer = load(matrix)) {
            layer.dequantize(out);
        }
        return out;
    }

    @Override
    public CudaLinear load(QuantizedMatrix weights) {
        return load(weights, null);
    }

    /** Runs work of load time on a lane and waits for it. */
    void onLane(Consumer<Lane> work) {
        Lane lane = lanes.take();
        try {
            work.accept(lane);
            lane.stream().synchronize();
        } finally {
            lanes.give(lane);
        }
    }

    /** Copies host bytes to the device and waits until they are there. */
    void upload(long to, MemorySegment from) {
        if (from.byteSize() == 0) {
            return;
        }
        Lane lane = lanes.take();
        try {
            Stream stream = lane.stream();
            if (from.isNative()) {
                stream.upload(to, from, from.byteSize());
                stream.synchronize();
            } else {
                try (Arena arena = Arena.ofConfined()) {
                    MemorySegment copy = arena.allocate(from.byteSize());
                    copy.copyFrom(from);
                    stream.upload(to, copy, from.byteSize());
                    stream.synchronize();
                }
            }
        } finally {
            lanes.give(lane);
        }
    }

    /** Called by what {@link #add} made once it has been freed. */
    void forget(Owner thing) {
        things.remove(thing);
        release();
    }

    @Override
    protected void closing() {
        things.forEach(Owner::close);
    }

    @Override
    protected void free() {
        lanes.close();
        kernels.close();
        context.close();
    }
}
