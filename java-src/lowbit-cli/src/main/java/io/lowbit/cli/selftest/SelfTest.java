package io.lowbit.cli.selftest;

import io.lowbit.backend.Backend;
import io.lowbit.backend.ProductCase;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.quant.Scheme;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;

/** Every group of cases, run one after another. */
public final class SelfTest {
    /** Where the vectors come from: the jar, or in a test something else. */
    @FunctionalInterface
    public interface Vectors {
        byte[] bytes(String name) throws IOException;
    }

    private SelfTest() {}

    /** The vectors in the jar. */
    public static byte[] fromJar(String name) throws IOException {
        try (InputStream in = SelfTest.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new FileNotFoundException("selftest vectors " + name + " are not in the jar; build it again");
            }
            return in.readAllBytes();
        }
    }

    @FunctionalInterface
    private interface Run {
        GroupResult result() throws IOException;
    }

    /** A group that has not run yet. */
    private record Group(String name, Run run) {}

    /**
     * The groups that know no backend: formats and quantizers.
     *
     * @param only the names of the groups to run
     */
    public static void formats(Vectors vectors, Predicate<String> only, Consumer<GroupResult> sink) throws IOException {
        run(formats(vectors), only, sink);
    }

    /**
     * All groups of one backend: its own quantizers, where it has them (the CPU's are in {@link #formats}), and products.
     *
     * @param quick a sixth of the product cases
     * @param only the names of the groups to run
     */
    public static void backend(Vectors vectors, Backend backend, boolean quick, Predicate<String> only, Consumer<GroupResult> sink) throws IOException {
        run(backend(vectors, backend.name(), backend, quick), only, sink);
    }

    /** The names of all groups, of formats and of the backends of these names, in the order in which they run. */
    public static List<String> names(List<String> backends) {
        List<Group> groups = new ArrayList<>(formats(SelfTest::fromJar));
        for (String backend : backends) {
            groups.addAll(backend(SelfTest::fromJar, backend, null, false));
        }
        return groups.stream().map(Group::name).toList();
    }

    private static List<Group> formats(Vectors vectors) {
        return List.of(new Group(FormatVectors.DECODE, () -> tensors(vectors, "codes.safetensors", FormatVectors::decode)),
                new Group(FormatVectors.ENCODE, () -> tensors(vectors, "encode.safetensors", FormatVectors::encode)),
                new Group(BlockVectors.name(""), () -> BlockVectors.run(blocks(vectors))));
    }

    /** @param backend null where nothing but the names is asked for */
    private static List<Group> backend(Vectors vectors, String name, Backend backend, boolean quick) {
        List<Group> groups = new ArrayList<>();
        if (!name.equals("cpu")) {
            groups.add(new Group(BlockVectors.name(name + " "), () -> BlockVectors.run(blocks(vectors), backend)));
            groups.add(new Group(Quantizers.name(name), () -> Quantizers.run(backend)));
        }
        for (Scheme scheme : ProductCase.schemes()) {
            groups.add(new Group(Products.name(name, scheme), () -> Products.run(backend, scheme, quick)));
        }
        return groups;
    }

    private static void run(List<Group> groups, Predicate<String> only, Consumer<GroupResult> sink) throws IOException {
        for (Group group : groups) {
            if (only.test(group.name)) {
                sink.accept(group.run.result());
            }
        }
    }

    private static String blocks(Vectors vectors) throws IOException {
        return new String(vectors.bytes("block-vectors.txt"), StandardCharsets.UTF_8);
    }

    /** Vectors that a reader of files takes, from bytes. */
    private static GroupResult tensors(Vectors vectors, String name, Function<SafetensorsFile, GroupResult> check) throws IOException {
        Path path = Files.createTempFile("lowbit-selftest", ".safetensors");
        try {
            Files.write(path, vectors.bytes(name));
            try (SafetensorsFile file = SafetensorsFile.open(path)) {
                return check.apply(file);
            }
        } finally {
            Files.deleteIfExists(path);
        }
    }
}
