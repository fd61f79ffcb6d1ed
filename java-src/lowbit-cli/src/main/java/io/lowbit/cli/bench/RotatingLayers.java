package io.lowbit.cli.bench;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.quant.QuantizedMatrix;
import java.util.ArrayList;
import java.util.List;

/** Copies of one layer, used in turn so that no call finds its weights in a cache that the set exceeds. */
final class RotatingLayers implements AutoCloseable {
    private final Backend backend;
    private final QuantizedMatrix weights;
    private final List<Linear> copies = new ArrayList<>();
    private int used;
    private int next;

    /** Loads the first copy. */
    RotatingLayers(Backend backend, QuantizedMatrix weights) {
        this.backend = backend;
        this.weights = weights;
        use(1);
    }

    /** Rotates from now on through {@code count} copies, loading those that are missing. */
    void use(int count) {
        while (copies.size() < count) {
            copies.add(backend.load(weights));
        }
        used = count;
        next = 0;
    }

    int copies() {
        return used;
    }

    Linear next() {
        Linear layer = copies.get(next);
        next = next + 1 == used ? 0 : next + 1;
        return layer;
    }

    /** Bytes that one copy holds in the kernel's own order. */
    long layerBytes() {
        return copies.getFirst().bytes();
    }

    /** Bytes of one copy as the scheme stores them, scales included. */
    long storedBytes() {
        return weights.bytes();
    }

    @Override
    public void close() {
        copies.forEach(Linear::close);
        copies.clear();
    }
}
