package io.lowbit.container;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Assumptions;
import org.testcontainers.DockerClientFactory;

/** The container engine that tests run on, or the reason why they are skipped. */
final class Engine {
    /** Makes a skip for want of an engine or a base image an error: {@code required}. */
    static final String REQUIRED = "lowbit.tests.container";

    private Engine() {}

    /** Skips, loudly, where there is no engine. */
    static void require() {
        if (!DockerClientFactory.instance().isDockerAvailable()) {
            skip("no Docker-compatible container engine; start one and set DOCKER_HOST to its socket, or see docker/engine.sh");
        }
    }

    /** Skips, loudly, where this machine has no GPU for a container; no GPU is ever an error here. */
    static void requireGpu() {
        if (!Files.exists(Path.of("/proc/driver/nvidia/version"))) {
            say("GPU image and its device request: this machine has no NVIDIA GPU");
        }
    }

    /** Builds the image and gives its name; skips, loudly, where it cannot be built, which is when its base cannot be had. */
    static String built(Future<String> image) throws InterruptedException {
        try {
            return image.get();
        } catch (RuntimeException | ExecutionException e) {
            Throwable first = e;
            while (first.getCause() != null) {
                first = first.getCause();
            }
            return skip("the image cannot be built: " + first.getMessage() + "; without a registry use docker/local-base.sh and LOWBIT_CONTAINER_BASE");
        }
    }

    private static <T> T skip(String reason) {
        if ("required".equals(System.getProperty(REQUIRED))) {
            throw new AssertionError(reason);
        }
        return say(reason);
    }

    private static <T> T say(String reason) {
        System.out.println("SKIPPED, container test: " + reason);
        return Assumptions.abort(reason);
    }
}
