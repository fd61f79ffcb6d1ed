package io.lowbit.cpu;

import io.lowbit.backend.Linear;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.locks.ReentrantLock;

/** What the scalar reference and its vector twin share: the contract's checks, the bias, the life of the memory. */
abstract class CpuLinear implements Linear {
    /** Bytes the repacked weights start on a multiple of: a cache line. */
    static final long ALIGNMENT = 64;

    final CpuBackend backend;
    final Arena arena = Arena.ofShared();
    final long n;
    final long k;
    /** f32 [N], or null. */
    final float[] bias;
    /** Original column of each column of the weights as loaded; null where they are the same. */
    private int[] order;

    private final Scheme scheme;
    private final String label;
    private boolean closed;

    CpuLinear(CpuBackend backend, QuantizedMatrix weights, float[] bias) {
        this.backend = backend;
        this.n = weights.n();
        this.k = weights.k();
        this.scheme = weights.scheme();
        this.label = weights.toString();
        this.bias = bias;
    }

    /** The columns of x are to be taken in this order. */
    final void gather(int[] order) {
        this.order = order;
    }

    /**
     * y = x·Wᵀ + bias for checked tensors of {@code m ≥ 1} rows; the caller holds the pool's lock.
     *
     * @param add y = y + that instead
     */
    abstract void compute(Tensor x, Tensor y, long m, boolean add);

    /** Bytes of the weights and scales as this class holds them. */
    abstract long weightBytes();

    @Override
    public final long outFeatures() {
        return n;
    }

    @Override
    public final long inFeatures() {
        return k;
    }

    @Override
    public final Scheme scheme() {
        return scheme;
    }

    @Override
    public final long bytes() {
        return weightBytes() + (order == null ? 0 : 4L * order.length) + (bias == null ? 0 : 4L * bias.length);
    }

    @Override
    public final void forward(Tensor x, Tensor y) {
        forward(x, y, false);
    }

    @Override
    public final void forwardAdd(Tensor x, Tensor y) {
        forward(x, y, true);
    }

    private void forward(Tensor x, Tensor y, boolean add) {
        check("x", x, k);
        check("y", y, n);
        if (x.dim(0) != y.dim(0)) {
            throw new IllegalArgumentException(label + ": x has " + x.dim(0) + " rows, y has " + y.dim(0) + "; expected as many");
        }
        if (overlap(x, y)) {
            throw new IllegalArgumentException(label + ": x and y overlap; give y memory of its own");
        }
        ReentrantLock lock = backend.pool().lock();
        lock.lock();
        try {
            if (closed) {
                throw new IllegalStateException(label + ": the layer" + (backend.closed() ? "'s backend" : "") + " is closed");
            }
            requireAlive("x", x);
            requireAlive("y", y);
            long m = x.dim(0);
            if (m > 0 && n > 0) {
                compute(order == null ? x : gathered(x, m), y, m, add);
            }
        } finally {
            lock.unlock();
        }
    }

    private Tensor gathered(Tensor x, long m) {
        backend.scratch().reserve(Scratch.Use.GATHERED, 1, x.data().byteSize());
        MemorySegment to = backend.scratch().get(Scratch.Use.GATHERED, 0).asSlice(0, x.data().byteSize());
        MemorySegment from = x.data();
        boolean wide = x.dtype() == DType.F32;
        for (long row = 0; row < m; row++) {
            for (int j = 0; j < order.length; j++) {
                if (wide) {
                    to.set(Output.FLOAT, (row * k + j) << 2, from.get(Output.FLOAT, (row * k + order[j]) << 2));
                } else {
                    to.set(Output.SHORT, (row * k + j) << 1, from.get(Output.SHORT, (row * k + order[j]) << 1));
                }
            }
        }
        return new Tensor(x.dtype(), x.shape(), to);
    }

    private void check(String name, Tensor t, long columns) {
        if (t.dtype() != DType.F32 && t.dtype() != DType.F16 && t.dtype() != DType.BF16) {
            throw new IllegalArgumentException(label + ": expected " + name + " in F32, F16 or BF16, got " + t.dtype());
        }
        if (t.shape().rank() != 2 || t.shape().dim(1) != columns) {
            throw new IllegalArgumentException(label + ": expected " + name + " [M, " + columns + "], got " + t.shape());
        }
    }

    private void requireAlive(String name, Tensor t) {
        if (!t.data().scope().isAlive()) {
            throw new IllegalStateException(label + ": the arena of " + name + " is closed");
        }
    }

    private static boolean overlap(Tensor x, Tensor y) {
        if (x.data().isNative() != y.data().isNative()) {
            return false;
        }
        if (!x.data().isNative()) {
            return x.data().asOverlappingSlice(y.data()).isPresent();
        }
        long xs = x.data().address();
        long ys = y.data().address();
        return xs < ys + y.data().byteSize() && ys < xs + x.data().byteSize();
    }

    @Override
    public final void close() {
        ReentrantLock lock = backend.pool().lock();
        lock.lock();
        try {
            if (!closed) {
                closed = true;
                backend.forget(this);
                arena.close();
            }
        } finally {
            lock.unlock();
        }
    }

    @Override
    public String toString() {
        return label;
    }
}
