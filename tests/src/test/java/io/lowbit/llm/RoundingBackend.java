package io.lowbit.llm;

import io.lowbit.backend.Backend;
import io.lowbit.backend.Linear;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;

/** Rounds what another backend's layers read and write to BF16: what a model loses to BF16 activations, whoever computes it. */
record RoundingBackend(Backend inner) implements Backend {
    @Override
    public String name() {
        return inner.name() + " rounded to bf16";
    }

    @Override
    public String description() {
        return inner.description();
    }

    @Override
    public Linear load(QuantizedMatrix weights, Tensor bias) {
        return new Rounding(inner.load(weights, bias));
    }

    @Override
    public void close() {
        inner.close();
    }

    private record Rounding(Linear inner) implements Linear {
        @Override
        public long outFeatures() {
            return inner.outFeatures();
        }

        @Override
        public long inFeatures() {
            return inner.inFeatures();
        }

        @Override
        public Scheme scheme() {
            return inner.scheme();
        }

        @Override
        public long bytes() {
            return inner.bytes();
        }

        @Override
        public void forward(Tensor x, Tensor y) {
            try (Arena arena = Arena.ofShared()) {
                Tensor in = Tensor.allocate(arena, DType.BF16, x.shape().dims());
                Tensor out = Tensor.allocate(arena, DType.BF16, y.shape().dims());
                copy(x, in);
                inner.forward(in, out);
                copy(out, y);
            }
        }

        private static void copy(Tensor from, Tensor to) {
            for (long i = 0; i < from.elements(); i++) {
                to.setFloat(i, from.getFloat(i));
            }
        }

        @Override
        public void close() {
            inner.close();
        }
    }
}
