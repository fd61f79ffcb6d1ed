package io.lowbit.llm;

import io.lowbit.backend.Backend;

/** Where a model's sequences are computed: opens the decoders of its sessions and holds what they share. */
interface Engine extends AutoCloseable {
    /** Positions that fit into {@code capacity}, fed in passes of at most {@code maxRows} tokens. */
    Decoder open(int capacity, int maxRows);

    @Override
    void close();

    /** The engine for the layers of {@code backend}. */
    static Engine of(Backend backend, ModelParts parts, Workers workers) {
        return new HostEngine(parts, workers);
    }
}
