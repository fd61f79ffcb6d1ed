package io.lowbit.checkpoint;

import java.nio.file.Path;

/** Where the reference data lie. */
public final class Golden {
    private Golden() {}

    public static Path path(String name) {
        return Path.of(System.getProperty("lowbit.root"), "tests/golden", name).normalize();
    }
}
