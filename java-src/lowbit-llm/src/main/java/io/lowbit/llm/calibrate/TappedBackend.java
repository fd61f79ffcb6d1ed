package io.lowbit.llm.calibrate;

import io.lowbit.backend.Backend;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.Tensor;

/** Another backend whose layers are all {@link Tap}s. Closing it leaves the other open. */
final class TappedBackend implements Backend {
    private final Backend target;

    TappedBackend(Backend target) {
        this.target = target;
    }

    @Override
    public String name() {
        return target.name();
    }

    @Override
    public String description() {
        return target.description();
    }

    @Override
    public Tap load(QuantizedMatrix weights, Tensor bias) {
        return new Tap(target.load(weights, bias));
    }

    @Override
    public void close() {}
}
