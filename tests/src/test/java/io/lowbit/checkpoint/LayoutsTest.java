package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.json.JsonValue;
import io.lowbit.cli.SchemeNames;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Quantizer;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class LayoutsTest {
    @TempDir
    Path folder;

    static Stream<Scheme> schemes() {
        return Stream.of(
                new Scheme.Int4(Grouping.group(32), true), new Scheme.Int4(Grouping.group(48), false), new Scheme.Int4(Grouping.CHANNEL, false),
                new Scheme.Int4(Grouping.TENSOR, true), new Scheme.Int4(Grouping.group(64), false, DType.BF16),
                new Scheme.Bnb4(Scheme.Codebook.NF4, 64, false), new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true),
                new Scheme.Bnb4(Scheme.Codebook.FP4, 128, false), new Scheme.Bnb4(Scheme.Codebook.FP4, 32, true),
                new Scheme.Mxfp4(), new Scheme.Nvfp4(),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.TENSOR), new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.CHANNEL),
                new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.block(128, 128)), new Scheme.Fp8(Scheme.Fp8Format.E5M2, Grouping.CHANNEL),
                new Scheme.Mxfp8(Scheme.Fp8Format.E4M3), new Scheme.Mxfp8(Scheme.Fp8Format.E5M2));
    }

    /** A model file quantized, read back and dequantized holds what the quantizer made, bit for bit; the rest is untouched. */
    @ParameterizedTest
    @MethodSource("schemes")
    void everySchemeComesBack(Scheme scheme) throws IOException {
        boolean blocks = scheme instanceof Scheme.Mxfp4 || scheme instanceof Scheme.Nvfp4;
        long k = blocks ? 160 : 150 + 1;
        Path in = model(130, k, 7);
        Path out = folder.resolve("out.safetensors");
        try (Checkpoint c = Checkpoint.open(in)) {
            Layout layout = Layouts.defaultFor(scheme);
            CheckpointQuantizer.quantize(c, out, scheme, QuantizeOptions.DEFAULT, layout, new Globs(List.of(), List.of()), _ -> { });
        }
        try (Checkpoint a = Checkpoint.open(in); Checkpoint b = Checkpoint.open(out); Arena arena = Arena.ofShared()) {
            Layouts found = Layouts.of(b);
            assertEquals(java.util.Set.of("model.layers.0.mlp.up_proj"), found.layers());
            QuantizedMatrix stored = found.read("model.layers.0.mlp.up_proj", arena);
            assertEquals(scheme, stored.scheme());
            QuantizedMatrix made = Layouts.defaultFor(scheme).fit(
                    Quantizer.quantize(a.tensor("model.layers.0.mlp.up_proj.weight"), scheme, QuantizeOptions.DEFAULT, arena));
            for (long r = 0; r < 130; r++) {
                for (long col = 0; col < k; col++) {
                    assertEquals(Float.floatToRawIntBits(made.value(r, col)), Float.floatToRawIntBits(stored.value(r, col)));
                }
            }
            for (String name : List.of("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "ids")) {
                assertEquals(-1, a.tensor(name).data().mismatch(b.tensor(name).data()), name);
            }
        }
        assertEquals(List.of("model.safetensors", "out.safetensors"), names());
    }

    @Test
    void whatALayoutCannotHoldIsRefusedByName() throws IOException {
        Path in = model(8, 33, 1);
        try (Checkpoint c = Checkpoint.open(in)) {
            for (Scheme s : List.of(new Scheme.Mxfp4(), new Scheme.Nvfp4(), new Scheme.Int4(Grouping.TENSOR, false),
                    new Scheme.Fp8(Scheme.Fp8Format.E4M3, Grouping.block(64, 64)))) {
                IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> CheckpointQuantizer.quantize(c, folder.resolve("o.safetensors"), s,
                        QuantizeOptions.DEFAULT, Layouts.defaultFor(s), new Globs(List.of(), List.of()), _ -> { }));
                assertTrue(e.getMessage().contains("model.layers.0.mlp.up_proj"), e.getMessage());
            }
        }
        assertThrows(IllegalArgumentException.class, () -> Layouts.named("awq", new Scheme.Mxfp4()));
        for (String name : List.of("bitsandbytes", "compressed-tensors", "gptq", "awq", "gguf", "modelopt", "gpt-oss")) {
            assertThrows(IllegalArgumentException.class, () -> Layouts.named(name, new Scheme.Mxfp8(Scheme.Fp8Format.E4M3)), name);
        }
        assertEquals(List.of("model.safetensors"), names());
    }

    @Test
    void nanAndInfiniteWeightsAreRefusedByTensorAndIndex() throws IOException {
        for (float bad : new float[] {Float.NaN, Float.NEGATIVE_INFINITY}) {
            Path in = model(8, 64, 3, bad);
            for (Scheme s : schemes().filter(s -> !(s instanceof Scheme.Bnb4 b && b.blockSize() == 32)).toList()) {
                try (Checkpoint c = Checkpoint.open(in)) {
                    String m = assertThrows(IllegalArgumentException.class, () -> CheckpointQuantizer.quantize(c, folder.resolve("o.safetensors"), s,
                            QuantizeOptions.DEFAULT, Layouts.defaultFor(s), new Globs(List.of(), List.of()), _ -> { })).getMessage();
                    assertTrue(m.contains("\"model.layers.0.mlp.up_proj.weight\"") && m.contains("[5, 9]"), m);
                }
                assertEquals(List.of("model.safetensors"), names());
            }
        }
    }

    /** Broken bitsandbytes layers, made from the golden one. */
    @Test
    void bitsAndBytesChecks() throws IOException {
        String x = "model.layers.0.mlp.up_proj.weight";
        String state = x + ".quant_state.bitsandbytes__nf4";
        List<UnaryOperator<String>> wrong = List.of(
                s -> s.replace("\"nf4\"", "\"fp4\""), s -> s.replace("64", "48"), s -> s.replace("\"bfloat16\"", "\"int8\""),
                s -> s.replace("[128, 256]", "[128, 255]"), s -> s.replace("[128, 256]", "[128, 256, 1]"), s -> s.replace("[128, 256]", "[-128, -256]"),
                s -> s.replace("\"nested_blocksize\": 256", "\"nested_blocksize\": 128"), s -> s.replaceAll("offset\": [0-9.e-]+", "offset\": 1e300"),
                s -> s.replace("{", "{\"surprise\": 1, "), s -> s.substring(1), s -> s.replace("\"shape\": [128, 256], ", ""));
        for (UnaryOperator<String> change : wrong) {
            refused(t -> {
                String before = new String(t.get(state).data().toArray(java.lang.foreign.ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
                byte[] after = change.apply(before).getBytes(StandardCharsets.UTF_8);
                assertTrue(!before.equals(new String(after, StandardCharsets.UTF_8)), before);
                t.put(state, bytes(after));
            });
        }
        refused(t -> t.remove(x + ".nested_absmax"));
        refused(t -> t.put(x + ".absmax", t.get(x + ".absmax").rows(0, 511)));
        refused(t -> t.put(x + ".quant_map", t.get(x + ".nested_quant_map").rows(0, 16)));
        refused(t -> t.put(x + ".nested_quant_map", Tensor.allocate(Arena.ofAuto(), DType.F32, 256)));
    }

    private void refused(java.util.function.Consumer<Map<String, Tensor>> change) throws IOException {
        Path path = folder.resolve("broken.safetensors");
        try (SafetensorsFile f = SafetensorsFile.open(Golden.path("bnb_checkpoint.safetensors"))) {
            Map<String, Tensor> tensors = new HashMap<>(f.tensors());
            change.accept(tensors);
            SafetensorsWriter.write(path, tensors, Map.of());
        }
        try (Checkpoint c = Checkpoint.open(path); Arena arena = Arena.ofShared()) {
            CheckpointException e = assertThrows(CheckpointException.class, () -> Layouts.of(c).read("model.layers.0.mlp.up_proj", arena));
            SafetensorsFileTest.assertOneLine(e, path);
        }
    }

    private static Tensor bytes(byte[] b) {
        return new Tensor(DType.U8, io.lowbit.tensor.Shape.of(b.length), java.lang.foreign.MemorySegment.ofArray(b));
    }

    /** Another storage type of the same bytes reads the same. */
    @Test
    void anyQuantStorage() throws IOException {
        Path path = folder.resolve("bf16.safetensors");
        String x = "model.layers.0.mlp.up_proj.weight";
        try (SafetensorsFile f = SafetensorsFile.open(Golden.path("bnb_checkpoint.safetensors"))) {
            Map<String, Tensor> tensors = new HashMap<>(f.tensors());
            Tensor t = tensors.get(x);
            tensors.put(x, new Tensor(DType.BF16, io.lowbit.tensor.Shape.of(t.elements() / 2, 1), t.data()));
            SafetensorsWriter.write(path, tensors, Map.of());
        }
        try (Checkpoint a = Checkpoint.open(Golden.path("bnb_checkpoint.safetensors")); Checkpoint b = Checkpoint.open(path); Arena arena = Arena.ofShared()) {
            QuantizedMatrix one = Layouts.of(a).read("model.layers.0.mlp.up_proj", arena);
            QuantizedMatrix two = Layouts.of(b).read("model.layers.0.mlp.up_proj", arena);
            assertEquals(-1, one.codes().data().mismatch(two.codes().data()));
        }
    }

    @Test
    void foldersKeepTheirConfiguration() throws IOException {
        Path in = Files.createDirectory(folder.resolve("in"));
        Files.move(model(64, 64, 5), in.resolve("model.safetensors"));
        Files.writeString(in.resolve("config.json"), "{\"hidden_size\": 64}");
        Files.writeString(in.resolve("tokenizer.json"), "{}");
        Path out = folder.resolve("out");
        Scheme scheme = new Scheme.Int4(Grouping.group(48), true);
        try (Checkpoint c = Checkpoint.open(in)) {
            CheckpointQuantizer.quantize(c, out, scheme, QuantizeOptions.DEFAULT, Layouts.defaultFor(scheme), new Globs(List.of(), List.of()), _ -> { });
        }
        try (Checkpoint c = Checkpoint.open(out); Arena arena = Arena.ofShared()) {
            assertEquals(64, c.config().orElseThrow().integer("hidden_size"));
            assertEquals("compressed-tensors", c.quantizationConfig().orElseThrow().text("quant_method"));
            assertEquals(scheme, Layouts.of(c).read("model.layers.0.mlp.up_proj", arena).scheme());
            assertTrue(Files.exists(out.resolve("tokenizer.json")));
            CheckpointDequantizer.dequantize(c, folder.resolve("back"), DType.F16, 2, m -> assertNotNull(m));
        }
        try (Checkpoint c = Checkpoint.open(folder.resolve("back"))) {
            assertTrue(c.quantizationConfig().isEmpty());
            assertEquals(TensorSpec.of(DType.F16, 64, 64), TensorSpec.of(c.tensor("model.layers.0.mlp.up_proj.weight")));
        }
        assertEquals(List.of("back", "in", "out"), names());
    }

    /** MXFP8 is DeepSeek's form of FP8 with blocks of 1 x 32 and powers of two; the configuration says so, and is believed. */
    @Test
    void mxfp8IsFp8InBlocksOf1x32() throws IOException {
        Path in = Files.createDirectory(folder.resolve("in"));
        Files.move(model(4, 128, 5), in.resolve("model.safetensors"));
        Files.writeString(in.resolve("config.json"), "{\"hidden_size\": 128}");
        Path out = folder.resolve("out");
        Scheme scheme = new Scheme.Mxfp8(Scheme.Fp8Format.E4M3);
        try (Checkpoint c = Checkpoint.open(in)) {
            CheckpointQuantizer.quantize(c, out, scheme, QuantizeOptions.DEFAULT, Layouts.defaultFor(scheme), new Globs(List.of(), List.of()), _ -> { });
        }
        Path config = out.resolve("config.json");
        String json = Files.readString(config);
        QuantizedMatrix made;
        try (Checkpoint c = Checkpoint.open(out); Arena arena = Arena.ofShared()) {
            var quantization = c.quantizationConfig().orElseThrow();
            assertEquals("fp8", quantization.text("quant_method"));
            assertEquals("ue8m0", quantization.text("scale_fmt"));
            assertEquals(List.of(1L, 32L), java.util.Arrays.stream(quantization.integers("weight_block_size")).boxed().toList());
            assertEquals(TensorSpec.of(DType.F8_E8M0, 4, 4), TensorSpec.of(c.tensor("model.layers.0.mlp.up_proj.weight_scale_inv")));
            made = Layouts.of(c).read("model.layers.0.mlp.up_proj", arena);
            assertEquals(scheme, made.scheme());
        }
        // the same scales, said to be of other tiles: FP8 with F32 scales that are powers of two
        String said = java.util.regex.Pattern.compile("\"weight_block_size\":\\s*\\[\\s*1,\\s*32\\s*]").matcher(json).replaceFirst("\"weight_block_size\": [1, 30]");
        assertTrue(!said.equals(json), json);
        Files.writeString(config, said);
        try (Checkpoint c = Checkpoint.open(out); Arena arena = Arena.ofShared()) {
            assertThrows(CheckpointException.class, () -> Layouts.of(c).read("model.layers.0.mlp.up_proj", arena));
        }
    }

    /** No tensor names the output layer of a tied model, but transformers makes one and would look for its quantized parts. */
    @ParameterizedTest(name = "{1} {0}")
    @CsvSource({"int4 sym g32, compressed-tensors, ignore", "nf4 b64, bitsandbytes, llm_int8_skip_modules", "int4 asym g32, awq, modules_to_not_convert",
        "fp8 e4m3 block128x128, fp8, ignored_layers"})
    void aTiedOutputLayerIsNamedAmongThoseLeftAlone(String label, String layout, String key) throws IOException {
        Scheme scheme = SchemeNames.parse(label).orElseThrow();
        for (boolean tied : new boolean[] {false, true}) {
            Path in = Files.createDirectories(folder.resolve("in" + tied));
            try (Checkpoint whole = Checkpoint.open(model(64, 64, 5))) {
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                whole.names().stream().filter(name -> !tied || !name.startsWith("lm_head")).forEach(name -> tensors.put(name, whole.tensor(name)));
                SafetensorsWriter.write(in.resolve("model.safetensors"), tensors, Map.of());
            }
            Files.writeString(in.resolve("config.json"), "{\"hidden_size\": 64}");
            Path out = folder.resolve("out" + tied);
            try (Checkpoint c = Checkpoint.open(in)) {
                CheckpointQuantizer.quantize(c, out, scheme, QuantizeOptions.DEFAULT, Layouts.named(layout, scheme), new Globs(List.of(), List.of()), _ -> { });
            }
            try (Checkpoint c = Checkpoint.open(out)) {
                List<String> untouched = c.quantizationConfig().orElseThrow().list(key).stream().map(v -> ((JsonValue.Text) v).value()).sorted().toList();
                assertEquals(List.of("lm_head", "model.embed_tokens"), untouched);
            }
        }
    }

    private Path model(long n, long k, long seed) throws IOException {
        return model(n, k, seed, 0.25f);
    }

    private Path model(long n, long k, long seed, float special) throws IOException {
        Random random = new Random(seed);
        Path path = folder.resolve("model.safetensors");
        try (Arena arena = Arena.ofConfined()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (String name : List.of("model.embed_tokens.weight", "lm_head.weight", "model.layers.0.mlp.up_proj.weight")) {
                Tensor t = Tensor.allocate(arena, DType.F32, n, k);
                for (long i = 0; i < t.elements(); i++) {
                    t.setFloat(i, (float) random.nextGaussian());
                }
                tensors.put(name, t);
            }
            Tensor up = tensors.get("model.layers.0.mlp.up_proj.weight");
            up.setFloat(Math.min(5 * k + 9, n * k - 1), special);
            tensors.put("model.norm.weight", Tensor.ofFloats(arena, new float[] {1, 2}, 2));
            tensors.put("ids", Tensor.allocate(arena, DType.I64, 3));
            SafetensorsWriter.write(path, tensors, Map.of("format", "pt"));
        }
        return path;
    }

    private List<String> names() throws IOException {
        try (Stream<Path> list = Files.list(folder)) {
            return list.map(p -> p.getFileName().toString()).sorted().toList();
        }
    }
}
