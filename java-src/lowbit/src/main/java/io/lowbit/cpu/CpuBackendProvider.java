package io.lowbit.cpu;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.BackendProvider;

/** Registers the CPU backend with {@link java.util.ServiceLoader}. It opens everywhere. */
public final class CpuBackendProvider implements BackendProvider {
    @Override
    public String name() {
        return CpuBackend.NAME;
    }

    @Override
    public int priority() {
        return 0;
    }

    @Override
    public Backend open(BackendOptions options) {
        return new CpuBackend(options);
    }
}
