package io.lowbit.cpu;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.Linear;
import io.lowbit.quant.ActOrder;
import io.lowbit.events.LoadEvent;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.simd.Simd;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;

/** Products on the CPU: Vector API kernels where {@link Simd} allows them, else the scalar reference. */
public final class CpuBackend implements Backend {
    static final String NAME = "cpu";

    private final WorkerPool pool;
    private final Scratch scratch;
    private final Set<CpuLinear> layers = Collections.newSetFromMap(new IdentityHashMap<>());
    private volatile boolean closed;

    /** Starts the worker threads: {@code options.threads() − 1}, the caller computes too. */
    public CpuBackend(BackendOptions options) {
        pool = new WorkerPool(options.threads());
        scratch = new Scratch(options.threads());
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String description() {
        String kernels = Simd.vectorized() && Memory.REFUSAL != null ? Memory.REFUSAL : Simd.reason();
        return kernels + "; " + pool.threads() + (pool.threads() == 1 ? " thread" : " threads");
    }

    @Override
    public Linear load(QuantizedMatrix weights, Tensor bias) {
        float[] offsets = bias(weights, bias);
        pool.lock().lock();
        try (Arena arena = Arena.ofShared()) {
            requireOpen();
            LoadEvent event = new LoadEvent();
            event.begin();
            ActOrder sorted = weights.groups() == null ? null : ActOrder.of(weights, arena);
            QuantizedMatrix plain = sorted == null ? weights : sorted.matrix();
            CpuLinear layer = Simd.vectorized() && Memory.REFUSAL == null
                    ? VectorLinear.load(this, plain, offsets)
                    : new ScalarLinear(this, plain, offsets);
            if (sorted != null) {
                layer.gather(sorted.order());
            }
            layers.add(layer);
            event.finish(NAME, weights.scheme().label(), weights.n(), weights.k(), layer.bytes());
            return layer;
        } finally {
            pool.lock().unlock();
        }
    }

    private static float[] bias(QuantizedMatrix weights, Tensor bias) {
        if (bias == null) {
            return null;
        }
        if (bias.dtype() != DType.F32 && bias.dtype() != DType.F16 && bias.dtype() != DType.BF16
                || bias.shape().rank() != 1 || bias.dim(0) != weights.n()) {
            throw new IllegalArgumentException("bias of " + weights + ": expected F32, F16 or BF16 [" + weights.n() + "], got "
                    + bias.dtype() + " " + bias.shape());
        }
        return bias.toFloats();
    }

    /**
     * Runs every kernel that {@code layer} may use until the compiler has had its chance: on cold code the Vector API
     * is a thousand times slower. Takes about a second for the first layer of a scheme, little for the next.
     *
     * @param layer one that this backend loaded
     * @param seconds stop after this long even if the code is still getting faster
     */
    public void warmUp(Linear layer, double seconds) {
        WarmUp.run(layer, seconds);
    }

    WorkerPool pool() {
        return pool;
    }

    /** Guarded by the pool's lock. */
    Scratch scratch() {
        return scratch;
    }

    boolean closed() {
        return closed;
    }

    void forget(CpuLinear layer) {
        layers.remove(layer);
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the cpu backend is closed; open another one");
        }
    }

    @Override
    public void close() {
        pool.lock().lock();
        try {
            if (closed) {
                return;
            }
            closed = true;
            for (CpuLinear layer : layers.toArray(CpuLinear[]::new)) {
                layer.close();
            }
            scratch.close();
            pool.close();
        } finally {
            pool.lock().unlock();
        }
    }
}
