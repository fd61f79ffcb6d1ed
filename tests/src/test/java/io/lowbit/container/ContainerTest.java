package io.lowbit.container;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.github.dockerjava.api.command.CreateContainerCmd;
import com.github.dockerjava.api.model.DeviceRequest;
import io.lowbit.bundle.BuiltBundle;
import io.lowbit.checkpoint.SafetensorsWriter;
import io.lowbit.cli.Cli;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.containers.Container.ExecResult;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.startupcheck.OneShotStartupCheckStrategy;
import org.testcontainers.images.builder.ImageFromDockerfile;
import org.testcontainers.utility.MountableFile;

/**
 * The images of docker/ on any Docker-compatible engine: what runs in them passes its own test and gives the bytes that
 * this machine gives. Each test says what it skips.
 */
@Tag("container")
class ContainerTest {
    private static final Path DOCKER = Path.of(System.getProperty("lowbit.root"), "docker").normalize();
    private static final String LOWBIT = "/opt/lowbit/lowbit";

    /** What asks the engine for all GPUs: {@code docker run --gpus all}. */
    private static final DeviceRequest ALL_GPUS = new DeviceRequest().withCount(-1).withCapabilities(List.of(List.of("gpu")));

    @TempDir
    Path folder;

    private Path bundle;

    @BeforeEach
    void writeInputs() throws Exception {
        Engine.require();
        bundle = BuiltBundle.require();
        try (Arena arena = Arena.ofConfined()) {
            SafetensorsWriter.write(folder.resolve("w.safetensors"), Map.of("a.proj.weight", normal(arena, 1, 200, 512)), Map.of());
            SafetensorsWriter.write(folder.resolve("x.safetensors"), Map.of("x", normal(arena, 2, 9, 512)), Map.of());
        }
    }

    private static Tensor normal(Arena arena, long seed, long... dims) {
        SplittableRandom random = new SplittableRandom(seed);
        Tensor t = Tensor.allocate(arena, DType.BF16, dims);
        for (long i = 0; i < t.elements(); i++) {
            t.setFloat(i, (float) random.nextGaussian());
        }
        return t;
    }

    @Test
    void cpuImageGivesTheHostsBytes() throws Exception {
        String base = System.getenv("LOWBIT_CONTAINER_BASE");
        System.out.println("CPU image on " + (base == null ? "the base that its Dockerfile names" : base + " (LOWBIT_CONTAINER_BASE)"));
        run(image("cpu", base), "cpu", command -> {});
    }

    @Test
    void gpuImageGivesTheHostsBytes() throws Exception {
        Engine.requireGpu();
        run(image("gpu", null), "cuda", command -> command.getHostConfig().withDeviceRequests(List.of(ALL_GPUS)));
    }

    private ImageFromDockerfile image(String kind, String base) {
        ImageFromDockerfile image = new ImageFromDockerfile("lowbit-test-" + kind, true)
                .withFileFromPath("Dockerfile", DOCKER.resolve(kind + ".Dockerfile"));
        for (String name : List.of("LICENSE", "README", "lowbit", "start.sh", "runtime", "lib")) {
            image.withFileFromPath(name, bundle.resolve(name));
        }
        return base == null ? image : image.withBuildArg("BASE", base);
    }

    private void run(ImageFromDockerfile image, String backend, Consumer<CreateContainerCmd> devices) throws Exception {
        String name = Engine.built(image);
        try {
            entryPointIsTheCommandLine(image);
            compare(image, backend, devices);
        } finally {
            // Nothing else would: Testcontainers leaves that to a container of its own, which is switched off here.
            DockerClientFactory.instance().client().removeImageCmd(name).withForce(true).exec();
        }
    }

    /** {@code docker run IMAGE --version} */
    private static void entryPointIsTheCommandLine(ImageFromDockerfile image) {
        try (GenericContainer<?> container = new GenericContainer<>(image)) {
            container.withCommand("--version").withStartupCheckStrategy(new OneShotStartupCheckStrategy());
            container.start();
            assertTrue(container.getLogs().startsWith("lowbit "), container.getLogs());
        }
    }

    private void compare(ImageFromDockerfile image, String backend, Consumer<CreateContainerCmd> devices) throws Exception {
        try (GenericContainer<?> container = new GenericContainer<>(image)) {
            for (String input : List.of("w.safetensors", "x.safetensors")) {
                container.withCopyFileToContainer(MountableFile.forHostPath(folder.resolve(input)), "/work/" + input);
            }
            // The image's own entry point runs one command; this container waits for several.
            container.withCreateContainerCmdModifier(command -> {
                devices.accept(command);
                command.withEntrypoint("sleep").withCmd("600");
            });
            container.start();

            String selftest = lowbit(container, "selftest", "--backend", backend);
            assertTrue(selftest.strip().endsWith("all passed"), selftest);
            System.out.println("in the container, selftest --backend " + backend + ": " + selftest.strip().lines().reduce((a, b) -> b).orElse(""));

            for (String scheme : List.of("nf4", "int4", "fp8-e4m3")) {
                String[] quantize = {"quantize", "w.safetensors", "q.safetensors", "--scheme", scheme};
                String[] matmul = {"matmul", "q.safetensors", "a.proj", "x.safetensors", "y.safetensors", "--out-dtype", "f32", "--backend", backend};
                for (String[] arguments : List.of(quantize, matmul)) {
                    lowbit(container, arguments);
                    Cli host = Cli.run(here(arguments));
                    assertEquals(0, host.exit(), host.err());
                }
                for (String file : List.of("q.safetensors", "y.safetensors")) {
                    Path copy = folder.resolve("container-" + file);
                    container.copyFileFromContainer("/work/" + file, copy.toString());
                    assertEquals(-1, Files.mismatch(folder.resolve(file), copy), scheme + " " + file);
                }
            }
        }
    }

    private static String lowbit(GenericContainer<?> container, String... arguments) throws Exception {
        String[] command = new String[arguments.length + 1];
        command[0] = LOWBIT;
        System.arraycopy(arguments, 0, command, 1, arguments.length);
        ExecResult result = container.execInContainer(command);
        assertEquals(0, result.getExitCode(), result.getStdout() + result.getStderr());
        return result.getStdout();
    }

    /** The same arguments with the files in this test's folder. */
    private String[] here(String[] arguments) {
        String[] here = arguments.clone();
        for (int i = 0; i < here.length; i++) {
            if (here[i].endsWith(".safetensors")) {
                here[i] = folder.resolve(here[i]).toString();
            }
        }
        return here;
    }
}
