package io.lowbit.llm;

import io.lowbit.backend.Backend;
import io.lowbit.cuda.CudaBackend;

/** Where a model's sequences are computed: opens the decoders of its sessions and holds what they share. */
interface Engine extends AutoCloseable {
    /** Positions that fit into {@code capacity}, fed in passes of at most {@code maxRows} tokens. */
    Decoder open(int capacity, int maxRows);

    /** Type of the activations that linear layers read and write, for people: {@code f32} or {@code bf16}. */
    String activations();

    @Override
    void close();

    /** The engine for the layers of {@code backend}. */
    static Engine of(Backend backend, ModelParts parts, Workers workers) {
        return switch (backend) {
            case CudaBackend cuda -> new CudaEngine(cuda, parts);
            default -> new HostEngine(parts, workers);
        };
    }
}
