package io.lowbit.llm.calibrate;

import io.lowbit.backend.Linear;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.function.Consumer;

/** A linear layer whose inputs can be listened to, and whose weights can be exchanged, with inputs divided by a scale. */
final class Tap implements Linear {
    private Linear target;
    private float[] divisors;
    private Consumer<Tensor> listener;
    private Comparison comparison;

    /** Sees every product of a layer: its input and its output. */
    interface Comparison {
        void see(Tensor x, Tensor y);
    }

    Tap(Linear target) {
        this.target = target;
    }

    /** Hears every input from now on; null for nobody. */
    void listen(Consumer<Tensor> who) {
        listener = who;
    }

    /** Shows every product from now on; null to nobody. */
    void compare(Comparison who) {
        comparison = who;
    }

    /** Puts other weights in place and frees the ones before. */
    void replace(Linear other, float[] inputDivisors) {
        target.close();
        target = other;
        divisors = inputDivisors;
    }

    /** Divides inputs no longer: as fast as the layer is where the norm in front took the divisors over. */
    void leaveUndivided() {
        divisors = null;
    }

    @Override
    public void forward(Tensor x, Tensor y) {
        if (listener != null) {
            listener.accept(x);
        }
        if (divisors == null) {
            target.forward(x, y);
        } else {
            try (Arena arena = Arena.ofShared()) {
                target.forward(divided(x, divisors, arena), y);
            }
        }
        if (comparison != null) {
            comparison.see(x, y);
        }
    }

    /** {@code x}, its columns divided; {@code x} itself where there are no divisors. */
    static Tensor divided(Tensor x, float[] divisors, Arena arena) {
        if (divisors == null) {
            return x;
        }
        Tensor out = Tensor.allocate(arena, DType.F32, x.shape().dims());
        int k = divisors.length;
        float[] row = new float[k];
        for (long r = 0; r < x.dim(0); r++) {
            x.readFloats(r * k, row, 0, k);
            for (int i = 0; i < k; i++) {
                out.setFloat(r * k + i, row[i] / divisors[i]);
            }
        }
        return out;
    }

    @Override
    public long outFeatures() {
        return target.outFeatures();
    }

    @Override
    public long inFeatures() {
        return target.inFeatures();
    }

    @Override
    public Scheme scheme() {
        return target.scheme();
    }

    @Override
    public long bytes() {
        return target.bytes();
    }

    @Override
    public void close() {
        target.close();
    }
}
