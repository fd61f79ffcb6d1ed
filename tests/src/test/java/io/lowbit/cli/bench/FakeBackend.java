package io.lowbit.cli.bench;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongUnaryOperator;

/** A right but plain backend whose calls take a known time on a fake clock, and which can be told to fail. */
final class FakeBackend implements Backend {
    final FakeHost host;
    /** Nanoseconds of call 0, 1, 2 … */
    LongUnaryOperator nanos = _ -> 1_000_000;
    /** Calls of this number and later put a wrong number into the last element. */
    long wrongFrom = Long.MAX_VALUE;
    /** Calls of this number and later leave the last element as it was. */
    long unwrittenFrom = Long.MAX_VALUE;
    /** Calls below this number end a compilation. */
    long compilingUntil;
    long allocatedPerCall;
    /** Nanoseconds that other processes compute during a call. */
    long othersPerCall;
    long calls;
    final List<FakeLinear> loaded = new ArrayList<>();

    FakeBackend(FakeHost host) {
        this.host = host;
    }

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public String description() {
        return "a fake";
    }

    @Override
    public Linear load(QuantizedMatrix weights, Tensor bias) {
        FakeLinear layer = new FakeLinear(weights);
        loaded.add(layer);
        return layer;
    }

    @Override
    public void close() {}

    /** One copy; counts its calls. */
    final class FakeLinear implements Linear {
        private final QuantizedMatrix weights;
        final List<Long> calledAt = new ArrayList<>();
        boolean closed;

        FakeLinear(QuantizedMatrix weights) {
            this.weights = weights;
        }

        @Override
        public long outFeatures() {
            return weights.n();
        }

        @Override
        public long inFeatures() {
            return weights.k();
        }

        @Override
        public Scheme scheme() {
            return weights.scheme();
        }

        @Override
        public long bytes() {
            return weights.bytes();
        }

        @Override
        public void forward(Tensor x, Tensor y) {
            calledAt.add(calls);
            for (long m = 0; m < x.dim(0); m++) {
                for (long n = 0; n < weights.n(); n++) {
                    float sum = 0;
                    for (long k = 0; k < weights.k(); k++) {
                        sum = Math.fma(x.getFloat(m * weights.k() + k), weights.value(n, k), sum);
                    }
                    long at = m * weights.n() + n;
                    boolean last = at == y.elements() - 1;
                    if (!last || calls < unwrittenFrom) {
                        y.setFloat(at, last && calls >= wrongFrom ? sum * 1.01f + 1e-3f : sum);
                    }
                }
            }
            if (calls < compilingUntil) {
                host.compiled++;
            }
            host.now += nanos.applyAsLong(calls);
            host.allocated += allocatedPerCall;
            host.others += othersPerCall;
            calls++;
        }

        @Override
        public void close() {
            closed = true;
        }
    }
}
