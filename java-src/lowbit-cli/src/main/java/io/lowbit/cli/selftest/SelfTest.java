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
import java.util.List;
import java.util.function.Consumer;

/** Runs every group, one after another. */
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

    /** The groups that know no backend: formats and quantizers. */
    public static void formats(Vectors vectors, Consumer<GroupResult> sink) throws IOException {
        Path folder = Files.createTempDirectory("lowbit-selftest");
        try {
            Path codes = Files.write(folder.resolve("codes.safetensors"), vectors.bytes("codes.safetensors"));
            Path encode = Files.write(folder.resolve("encode.safetensors"), vectors.bytes("encode.safetensors"));
            try (SafetensorsFile file = SafetensorsFile.open(codes)) {
                sink.accept(FormatVectors.decode(file));
            }
            try (SafetensorsFile file = SafetensorsFile.open(encode)) {
                sink.accept(FormatVectors.encode(file));
            }
            sink.accept(BlockVectors.run(new String(vectors.bytes("block-vectors.txt"), StandardCharsets.UTF_8)));
        } finally {
            for (String name : List.of("codes.safetensors", "encode.safetensors")) {
                Files.deleteIfExists(folder.resolve(name));
            }
            Files.delete(folder);
        }
    }

    /** Number of groups of {@link #backend}. */
    public static int groups(String backend) {
        return ProductCase.schemes().size() + (backend.equals("cpu") ? 0 : 2);
    }

    /**
     * All groups of one backend: its own quantizers, where it has them (the CPU's are in {@link #formats}), and products.
     *
     * @param quick a sixth of the product cases
     */
    public static void backend(Vectors vectors, Backend backend, boolean quick, Consumer<GroupResult> sink) throws IOException {
        if (!backend.name().equals("cpu")) {
            sink.accept(BlockVectors.run(new String(vectors.bytes("block-vectors.txt"), StandardCharsets.UTF_8), backend));
            sink.accept(Quantizers.run(backend));
        }
        products(backend, quick, sink);
    }

    /** The product cases of every scheme on one backend. */
    private static void products(Backend backend, boolean quick, Consumer<GroupResult> sink) {
        for (Scheme scheme : ProductCase.schemes()) {
            sink.accept(Products.run(backend, scheme, quick));
        }
    }
}
