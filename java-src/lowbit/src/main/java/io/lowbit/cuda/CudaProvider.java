package io.lowbit.cuda;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.BackendProvider;
import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.cuda.driver.CudaException;

/**
 * Offers the CUDA backend to {@code auto}, before the CPU. The system property {@value #DEVICE} picks the GPU by the
 * number CUDA gives it; 0 without it.
 */
public final class CudaProvider implements BackendProvider {
    /** Name of the system property that picks the GPU. */
    public static final String DEVICE = "lowbit.cuda.device";

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public int priority() {
        return 100;
    }

    @Override
    public Backend open(BackendOptions options) {
        String device = System.getProperty(DEVICE, "0");
        int ordinal;
        try {
            ordinal = Integer.parseInt(device);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("-D" + DEVICE + "=" + device + ": expected the number of a GPU", e);
        }
        try {
            return CudaBackend.open(ordinal);
        } catch (CudaException e) {
            throw new BackendUnavailableException("the GPU does not start: " + e.getMessage(), e);
        }
    }
}
