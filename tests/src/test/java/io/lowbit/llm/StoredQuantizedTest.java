package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.Backend;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cli.Cli;
import io.lowbit.cuda.Gpu;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.Scheme.Bnb4;
import io.lowbit.quant.Scheme.Codebook;
import io.lowbit.quant.Scheme.Fp8;
import io.lowbit.quant.Scheme.Fp8Format;
import io.lowbit.quant.Scheme.Int4;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("Folders whose layers are stored quantized")
class StoredQuantizedTest {
    private static final int TOKENS = 40;

    @TempDir
    private Path folder;

    /** Options of lowbit quantize, and the scheme that on-the-fly quantization takes for the same. */
    static Stream<Arguments> layouts() {
        return Stream.of(
                Arguments.of("nf4", new Bnb4(Codebook.NF4, 64, false)),
                Arguments.of("nf4 --double-quant", new Bnb4(Codebook.NF4, 64, true)),
                Arguments.of("fp4", new Bnb4(Codebook.FP4, 64, false)),
                Arguments.of("int4", new Int4(Grouping.group(128), true)),
                Arguments.of("int4 --group 32 --asymmetric", new Int4(Grouping.group(32), false)),
                Arguments.of("int4 --layout gptq", new Int4(Grouping.group(128), true)),
                Arguments.of("int4 --group 64 --asymmetric --layout gptq_v2", new Int4(Grouping.group(64), false)),
                Arguments.of("int4 --group 128 --asymmetric --layout awq", new Int4(Grouping.group(128), false)),
                Arguments.of("mxfp4", new Scheme.Mxfp4()),
                Arguments.of("fp8-e4m3 --group channel", new Fp8(Fp8Format.E4M3, Grouping.CHANNEL)),
                Arguments.of("fp8-e4m3 --group block128", new Fp8(Fp8Format.E4M3, Grouping.block(128, 128))),
                Arguments.of("fp8-e5m2 --group tensor", new Fp8(Fp8Format.E5M2, Grouping.TENSOR)),
                Arguments.of("mxfp8-e4m3", new Scheme.Mxfp8(Fp8Format.E4M3)));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("layouts")
    void theyGiveTheBitsOfQuantizingOnTheFly(String options, Scheme scheme) throws IOException {
        try (Backend backend = Models.backend()) {
            sameBits(options, scheme, backend);
        }
    }

    @Tag("gpu")
    @ParameterizedTest(name = "{0}, on the GPU")
    @MethodSource("layouts")
    void onTheGpuTheyGiveTheBitsOfQuantizingOnTheFly(String options, Scheme scheme) throws IOException {
        try (Backend backend = Gpu.open()) {
            sameBits(options, scheme, backend);
        }
    }

    private void sameBits(String options, Scheme scheme, Backend backend) throws IOException {
        Path stored = quantize(options);
        try (LlamaModel asStored = Models.load(stored, backend, null);
                LlamaModel onTheFly = Models.load(Models.DEMO, backend, scheme)) {
            assertEquals(onTheFly.linears().keySet(), asStored.linears().keySet());
            asStored.linears().forEach((name, linear) -> assertEquals(scheme, linear.scheme(), name));
            assertEquals(onTheFly.bytes(), asStored.bytes());
            assertArrayEquals(logits(onTheFly), logits(asStored));
        }
    }

    @Test
    void nvfp4IsStoredWithADivisorAndComesAsNear() throws IOException {
        Path stored = quantize("nvfp4");
        try (Backend backend = Models.backend();
                LlamaModel asStored = Models.load(stored, backend, null);
                LlamaModel onTheFly = Models.load(Models.DEMO, backend, new Scheme.Nvfp4())) {
            asStored.linears().forEach((name, linear) -> assertEquals(new Scheme.Nvfp4(), linear.scheme(), name));
            double worst = Models.largestDifference(logits(onTheFly), logits(asStored));
            assertTrue(worst <= 1e-3, "largest difference " + worst);
        }
    }

    /** A GGUF file with the configuration and the tokenizer beside it: other names, query and key rows in another order. */
    @ParameterizedTest
    @ValueSource(strings = {"mxfp4", "q4_0", "q8_0"})
    void aGgufFileRunsAsItsFolderDoes(String scheme) throws IOException {
        Path home = Files.createDirectory(folder.resolve("gguf"));
        Path stored = home.resolve("model.gguf");
        Cli run = Cli.run("quantize", Models.DEMO.toString(), stored.toString(), "--scheme", scheme, "--layout", "gguf");
        assertEquals(0, run.exit(), run.err());
        for (String name : List.of("config.json", "tokenizer.json", "test.jsonl")) {
            Files.copy(Models.DEMO.resolve(name), home.resolve(name));
        }
        if (scheme.equals("mxfp4")) {
            try (Backend backend = Models.backend();
                    LlamaModel asStored = Models.load(home, backend, null);
                    LlamaModel onTheFly = Models.load(Models.DEMO, backend, new Scheme.Mxfp4())) {
                assertArrayEquals(logits(onTheFly), logits(asStored));
            }
            return;
        }
        double perplexity = perplexity(home.toString(), "--windows", "1");
        double plain = perplexity(Models.DEMO.toString(), "--windows", "1");
        System.out.printf("demo model as a GGUF file, %s: perplexity of a window %.3f, %.3f in BF16%n", scheme, perplexity, plain);
        assertEquals(plain, perplexity, (scheme.equals("q8_0") ? 0.005 : 0.1) * plain);
    }

    @Test
    void theCommandsRunThemAsStored() throws IOException {
        Path stored = quantize("nf4");
        double here = perplexity(stored.toString(), "--windows", "1");
        assertEquals(perplexity(Models.DEMO.toString(), "--windows", "1", "--scheme", "nf4"), here);
        List<String> prompt = List.of("--backend", "cpu", "--prompt", "Call me", "--max-tokens", "12", "--seed", "3", "--ignore-eos");
        assertEquals(run("generate", Models.DEMO.toString(), prompt, "--scheme", "nf4"), run("generate", stored.toString(), prompt));
    }

    private static String run(String command, String model, List<String> options, String... more) {
        Cli run = Cli.run(Stream.of(List.of(command, model), options, List.of(more)).flatMap(List::stream).toArray(String[]::new));
        assertEquals(0, run.exit(), run.err());
        return run.out();
    }

    private static double perplexity(String model, String... more) {
        JsonObject document = JsonReader.parseObject(run("perplexity", model, List.of("--backend", "cpu", "--json"), more));
        return ((JsonObject) document.list("results").getFirst()).number("perplexity");
    }

    @Test
    void aSecondSchemeOnTopIsRefused() throws IOException {
        Path stored = quantize("nf4");
        try (Backend backend = Models.backend()) {
            String message = assertThrows(ModelException.class, () -> Models.load(stored, backend, new Scheme.Mxfp4())).getMessage();
            assertTrue(message.contains("model.layers.0.self_attn.q_proj is stored quantized (layout bitsandbytes)")
                    && message.contains("lowbit dequantize"), message);
            assertEquals(1, message.lines().count(), message);
        }
    }

    @Test
    void aLayerOfAnotherShapeThanTheConfigurationsIsNamed() throws IOException {
        Path stored = quantize("nf4");
        Path config = stored.resolve("config.json");
        String json = Files.readString(config);
        assertTrue(json.contains("\"intermediate_size\": 768"), json);
        Files.writeString(config, json.replace("\"intermediate_size\": 768", "\"intermediate_size\": 776"));
        try (Backend backend = Models.backend()) {
            String message = assertThrows(ModelException.class, () -> Models.load(stored, backend, null)).getMessage();
            assertTrue(message.contains("layer model.layers.0.mlp.gate_proj is stored as nf4 b64 [768, 256], config.json asks for [776, 256]"), message);
        }
    }

    @Test
    void quantizedEmbeddingsAndHeadsAreReadToo() throws IOException {
        Path stored = folder.resolve("whole");
        assertEquals(0, Cli.run("quantize", Models.DEMO.toString(), stored.toString(), "--scheme", "fp8-e4m3", "--group", "channel", "--include", "*").exit());
        int[] tokens = Arrays.copyOf(Models.stream(), TOKENS);
        try (Backend backend = Models.backend();
                LlamaModel whole = Models.load(stored, backend, null);
                LlamaModel plain = Models.load(Models.DEMO, backend, null)) {
            assertEquals(new Fp8(Fp8Format.E4M3, Grouping.CHANNEL), whole.head().scheme());
            float[] table = whole.embedding().toFloats();
            assertEquals(4096 * 256, table.length);
            // E4M3 keeps four bits: far nearer than another row would be
            assertEquals(plain.embedding().getFloat(256L * tokens[1] + 3), table[256 * tokens[1] + 3], 0.04 * Math.abs(table[256 * tokens[1] + 3]) + 1e-3);
            double worst = Models.largestDifference(logits(plain), logits(whole));
            System.out.printf("demo model, all of it in FP8: largest difference of logits %.2e%n", worst);
            assertTrue(worst > 0 && worst < 2, "largest difference " + worst);
        }
    }

    private Path quantize(String options) {
        Path out = folder.resolve("stored");
        Cli run = Cli.run(Stream.concat(Stream.of("quantize", Models.DEMO.toString(), out.toString(), "--scheme"), Arrays.stream(options.split(" ")))
                .toArray(String[]::new));
        assertEquals(0, run.exit(), run.err());
        return out;
    }

    private static float[] logits(LlamaModel model) throws IOException {
        int[] tokens = Arrays.copyOf(Models.stream(), TOKENS);
        try (Session session = model.newSession(TOKENS)) {
            session.append(tokens);
            return Models.logits(session, TOKENS);
        }
    }
}
