package io.lowbit.cuda;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.cuda.driver.Context;
import io.lowbit.cuda.driver.Owner;
import io.lowbit.cuda.driver.Stream;
import io.lowbit.cuda.kernels.Architecture;
import io.lowbit.cuda.kernels.KernelChoice;
import io.lowbit.cuda.kernels.Kernels;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/** Linear layers on one NVIDIA GPU. */
public final class CudaBackend extends Owner implements Backend {
    private static final int LANES = 4;

    private final Context context;
    private final Kernels kernels;
    private final KernelChoice choice;
    private final Lanes lanes;
    private final Set<CudaLinear> layers = ConcurrentHashMap.newKeySet();

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

    Kernels kernels() {
        return kernels;
    }

    KernelChoice choice() {
        return choice;
    }

    Lanes lanes() {
        return lanes;
    }

    @Override
    public CudaLinear load(QuantizedMatrix weights, Tensor bias) {
        if (weights.n() > Integer.MAX_VALUE || weights.k() > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(weights + ": expected at most 2^31-1 rows and columns");
        }
        if (bias != null) {
            if (bias.dtype() != DType.F32 && bias.dtype() != DType.F16 && bias.dtype() != DType.BF16) {
                throw new IllegalArgumentException(weights + ": expected a bias of F32, F16 or BF16, got " + bias.dtype());
            }
            if (bias.shape().rank() != 1 || bias.dim(0) != weights.n()) {
                throw new IllegalArgumentException(weights + ": expected a bias [" + weights.n() + "], got " + bias.shape());
            }
        }
        return counted(() -> new CudaLinear(this, weights, bias));
    }

    /** Counts a new layer in, so that the backend outlives it. */
    CudaLinear counted(Supplier<CudaLinear> maker) {
        acquire();
        CudaLinear layer;
        try {
            layer = maker.get();
        } catch (RuntimeException e) {
            release();
            throw e;
        }
        layers.add(layer);
        if (isClosed()) {
            layer.close();
        }
        return layer;
    }

    @Override
    public CudaLinear load(QuantizedMatrix weights) {
        return load(weights, null);
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

    /** Called by a layer that has been freed. */
    void forget(CudaLinear layer) {
        layers.remove(layer);
        release();
    }

    @Override
    protected void closing() {
        layers.forEach(Linear::close);
    }

    @Override
    protected void free() {
        lanes.close();
        kernels.close();
        context.close();
    }
}
