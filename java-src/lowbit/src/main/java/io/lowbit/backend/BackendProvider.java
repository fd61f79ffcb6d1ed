package io.lowbit.backend;

/** What {@link java.util.ServiceLoader} finds: one for each backend in the class path. */
public interface BackendProvider {
    /** {@code cpu} or {@code cuda}. */
    String name();

    /** {@code auto} tries providers from the highest down: 100 for a GPU, 0 for the CPU. */
    int priority();

    /**
     * Opens the backend.
     *
     * @throws BackendUnavailableException with the reason and the cure where it cannot run
     */
    Backend open(BackendOptions options);
}
