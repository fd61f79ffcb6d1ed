package io.lowbit.cuda;

import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.BackendUnavailableException;
import io.lowbit.backend.Backends;

/** Prints what asking for the CUDA backend says; run in a JVM of its own with a driver library that is not one. */
final class RefusalProbe {
    private RefusalProbe() {}

    public static void main(String[] args) {
        for (String name : new String[] {"cuda", "auto"}) {
            try {
                Backends.Selection selection = Backends.open(name, new BackendOptions(1));
                System.out.println("opened " + selection.reason());
                selection.backend().close();
            } catch (BackendUnavailableException e) {
                System.out.println(e.getMessage());
            }
        }
    }
}
