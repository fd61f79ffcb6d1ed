package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.Checkpoint;
import io.lowbit.checkpoint.Layouts;
import io.lowbit.checkpoint.LinearWeight;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Sqnr;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** all-MiniLM-L6-v2 out of its ONNX file: a model that nobody here made. */
@Tag("sources")
class MiniLmTest {
    @TempDir
    static Path folder;

    private static Path model;

    @BeforeAll
    static void extract() throws IOException {
        model = folder.resolve("all-minilm-l6-v2.onnx");
        try (InputStream in = MiniLmTest.class.getResourceAsStream("/all-minilm-l6-v2.onnx")) {
            Files.copy(in, model);
        }
    }

    /** The SQNR reported is that of the file written, measured here again; the bounds leave room for real weights' tails. */
    @ParameterizedTest
    @CsvSource({
        // int4 asymmetric: 3 groups a row take 2 bytes of zero points, hence 4.167 and not 4.156
        "nf4, 4.5, 20", "nf4 --double-quant, 4.13, 20", "int4, 4.126, 18", "int4 --asymmetric, 4.17, 18.5", "nvfp4, 4.501, 20", "fp8-e4m3, 8.07, 31"
    })
    void quantized(String scheme, double bits, double decibels) throws IOException {
        Path out = folder.resolve("out.safetensors");
        String[] args = ("quantize " + model + " " + out + " --json --scheme " + scheme).split(" ");
        Cli run = Cli.run(args);
        assertEquals(0, run.exit(), run.err());
        JsonObject document = JsonReader.parseObject(run.out());
        assertEquals(37, document.list("layers").size());
        assertTrue(document.number("bits_per_weight") <= bits, run.out());
        assertTrue(document.number("sqnr_db") >= decibels, run.out());
        System.out.printf("all-MiniLM-L6-v2 %-28s %.3f bits/weight, SQNR %.2f dB%n", document.text("scheme"), document.number("bits_per_weight"),
                document.number("sqnr_db"));
        try (Checkpoint source = Checkpoint.open(model); Checkpoint stored = Checkpoint.open(out); Arena arena = Arena.ofShared()) {
            Layouts layouts = Layouts.of(stored);
            List<LinearWeight> linear = source.linearWeights();
            assertEquals(linear.stream().map(LinearWeight::layer).sorted().toList(), layouts.layers().stream().sorted().toList());
            double signal = 0;
            double noise = 0;
            for (LinearWeight w : linear) {
                QuantizedMatrix m = layouts.read(w.layer(), arena);
                Sqnr sqnr = Sqnr.of(m, w.load(source, arena));
                signal += sqnr.signal();
                noise += sqnr.noise();
            }
            assertEquals(document.number("sqnr_db"), 10 * Math.log10(signal / noise), 1e-9);
            assertEquals(-1, source.tensor("embeddings.word_embeddings.weight").data().mismatch(stored.tensor("embeddings.word_embeddings.weight").data()));
        }
    }
}
