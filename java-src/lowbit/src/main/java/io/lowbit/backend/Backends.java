package io.lowbit.backend;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.ServiceLoader;

/** Finds and opens backends; every refusal keeps its reason. */
public final class Backends {
    private Backends() {}

    /**
     * The result of {@code auto}: the backend taken and one line that says why.
     *
     * @param backend opened; the caller closes it
     * @param reason for example {@code cpu: 512-bit vectors …; no cuda: no NVIDIA driver …}
     */
    public record Selection(Backend backend, String reason) {}

    /**
     * Whether one backend can run here.
     *
     * @param name {@code cpu} or {@code cuda}
     * @param available true where it opened
     * @param detail its description, or the reason and cure of the refusal
     */
    public record Availability(String name, boolean available, String detail) {}

    /**
     * Opens a backend by name; {@code auto} takes the best that opens.
     *
     * @throws BackendUnavailableException when the one named (or, for {@code auto}, any) cannot run here
     * @throws IllegalArgumentException when the name is unknown
     */
    public static Selection open(String name, BackendOptions options) {
        List<BackendProvider> providers = providers();
        List<String> refusals = new ArrayList<>();
        for (BackendProvider provider : providers) {
            if (!name.equals("auto") && !name.equals(provider.name())) {
                continue;
            }
            try {
                Backend backend = provider.open(options);
                String why = backend.name() + ": " + backend.description();
                return new Selection(backend, refusals.isEmpty() ? why : why + "; no " + String.join("; no ", refusals));
            } catch (BackendUnavailableException e) {
                if (!name.equals("auto")) {
                    throw e;
                }
                refusals.add(provider.name() + ": " + e.getMessage());
            }
        }
        if (name.equals("auto")) {
            throw new BackendUnavailableException("no backend can run here: " + String.join("; ", refusals));
        }
        if (name.equals("cuda")) {
            throw new BackendUnavailableException(
                    "backend cuda: this build of Lowbit has no CUDA backend in its class path; use --backend cpu");
        }
        throw new IllegalArgumentException("backend " + name + ": expected auto, "
                + String.join(", ", providers.stream().map(BackendProvider::name).toList()));
    }

    /** Tries every backend in the class path, best first, and closes it again. */
    public static List<Availability> survey(BackendOptions options) {
        List<Availability> found = new ArrayList<>();
        for (BackendProvider provider : providers()) {
            try (Backend backend = provider.open(options)) {
                found.add(new Availability(provider.name(), true, backend.description()));
            } catch (BackendUnavailableException e) {
                found.add(new Availability(provider.name(), false, e.getMessage()));
            }
        }
        return found;
    }

    private static List<BackendProvider> providers() {
        return ServiceLoader.load(BackendProvider.class, Backends.class.getClassLoader()).stream()
                .map(ServiceLoader.Provider::get)
                .sorted(Comparator.comparingInt(BackendProvider::priority).reversed())
                .toList();
    }
}
