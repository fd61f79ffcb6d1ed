package io.lowbit.llm;

/** Sequences in host memory, for the layers of any backend. */
record HostEngine(ModelParts parts, Workers workers) implements Engine {
    @Override
    public Decoder open(int capacity, int maxRows) {
        return new HostDecoder(parts, workers, maxRows);
    }

    @Override
    public String activations() {
        return "f32";
    }

    @Override
    public void close() {
        // weights and workers are the model's
    }
}
