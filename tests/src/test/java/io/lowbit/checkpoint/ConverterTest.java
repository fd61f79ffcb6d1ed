package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.RandomMatrix;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.SameValues;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Conversions keep every bit, or say why they cannot. */
class ConverterTest {
    @TempDir
    Path folder;

    /** Through layouts and back to the first: its own tensors again, byte for byte. */
    @ParameterizedTest
    @CsvSource({
        "awq/gemm_g128, gptq_v2:compressed-tensors:awq",
        "awq/gemm_g64, compressed-tensors:gptq:gptq_v2:awq",
        "awq/gemm_g128, awq_gemv:awq",
        "awq/gemm_g64, gptq_v2:awq_gemv:compressed-tensors:awq_gemv:awq",
        "gptq/asym_g64.v2, compressed-tensors:awq:gptq_v2",
        "gptq/asym_g64.v1, awq:gptq_v1",
        "gptq/sym_g128.v1, compressed-tensors:gptq",
        "gptq/sym_g128.v2, gptq_v1:compressed-tensors:gptq_v2",
        "gptq/sym_g128_actorder.v1, compressed-tensors:gptq_v2:gptq",
        "compressed-tensors/pack_quantized, compressed-tensors",
        "fp8/block128, compressed-tensors:fp8",
        "bnb_checkpoint, bitsandbytes"
    })
    void thereAndBackAgain(String file, String chain) throws IOException {
        Path start = Golden.path(file + ".safetensors");
        Path config = Golden.path(file + ".config.json");
        Path at = start;
        Path with = Files.exists(config) ? config : null;
        for (String layout : chain.split(":")) {
            Path next = folder.resolve(layout + at.getFileName());
            try (Checkpoint c = Checkpoint.open(at, with)) {
                CheckpointConverter.convert(c, next, new CheckpointConverter.Options(layout, false, 2), _ -> { });
            }
            same(start, Files.exists(config) ? config : null, next);
            at = next;
            with = null;
        }
        try (SafetensorsFile a = SafetensorsFile.open(start); SafetensorsFile b = SafetensorsFile.open(at)) {
            assertEquals(new TreeSet<>(a.tensors().keySet()), new TreeSet<>(b.tensors().keySet()));
            a.tensors().forEach((name, t) -> {
                assertEquals(TensorSpec.of(t), TensorSpec.of(b.tensor(name)), name);
                assertEquals(-1, t.data().mismatch(b.tensor(name).data()), name);
            });
        }
    }

    private static void same(Path a, Path config, Path b) throws IOException {
        try (Checkpoint one = Checkpoint.open(a, config); Checkpoint two = Checkpoint.open(b); Arena arena = Arena.ofShared()) {
            Layouts x = Layouts.of(one);
            Layouts y = Layouts.of(two);
            assertEquals(new TreeSet<>(x.layers()), new TreeSet<>(y.layers()));
            for (String layer : x.layers()) {
                QuantizedMatrix before = x.read(layer, arena);
                QuantizedMatrix after = y.read(layer, arena);
                assertEquals(-1, SameValues.mismatch(before, after), layer);
                assertEquals(-1, before.codes().data().mismatch(after.codes().data()), layer);
            }
            assertTrue(y.remarks().isEmpty(), y.remarks().toString());
        }
    }

    /** MXFP4 experts: gpt-oss, GGUF, compressed-tensors, gpt-oss. */
    @Test
    void mxfp4GoesAround() throws IOException {
        Path oss = folder.resolve("oss.safetensors");
        Path gguf = folder.resolve("m.gguf");
        Path ct = folder.resolve("ct.safetensors");
        Path back = folder.resolve("back.safetensors");
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = RandomMatrix.of(arena, new Scheme.Mxfp4(), 3 * 40, 96, 4);
            LayerInfo info = new LayerInfo(m.scheme(), m.n(), m.k(), DType.BF16, 3, false);
            Map<String, Tensor> tensors = new LinkedHashMap<>(new GptOssLayout().write("mlp.experts.up", m, info, arena));
            tensors.put("norm.weight", Tensor.ofFloats(arena, new float[] {1, 2, 3}, 3));
            SafetensorsWriter.write(oss, tensors, Map.of());
        }
        convert(oss, gguf, "gguf");
        convert(gguf, ct, "compressed-tensors");
        convert(ct, back, "gpt-oss");
        try (SafetensorsFile a = SafetensorsFile.open(oss); SafetensorsFile b = SafetensorsFile.open(back); GgufFile g = GgufFile.open(gguf)) {
            assertEquals(GgufType.MXFP4, g.types().get("mlp.experts.up.weight"));
            assertEquals(3, g.tensors().get("mlp.experts.up.weight").shape().rank());
            assertEquals(a.tensors().keySet(), b.tensors().keySet());
            a.tensors().forEach((name, t) -> assertEquals(-1, t.data().mismatch(b.tensor(name).data()), name));
        }
    }

    /** NVFP4 where the reciprocal is exact, and where it is not. */
    @Test
    void nvfp4ReciprocalsAreExactOrRefused() throws IOException {
        for (float divisor : new float[] {1024f, 3000.7f}) {
            Path ct = folder.resolve("ct" + divisor + ".safetensors");
            Path opt = folder.resolve("opt" + divisor + ".safetensors");
            Path back = folder.resolve("back" + divisor + ".safetensors");
            try (Arena arena = Arena.ofShared()) {
                QuantizedMatrix r = RandomMatrix.of(arena, new Scheme.Nvfp4(), 64, 256, 9);
                QuantizedMatrix m = QuantizedMatrix.nvfp4Divided(64, 256, r.codes(), r.scales(), divisor);
                SafetensorsWriter.write(ct, new PackedFp4Layout().write("l", m, LayerInfo.of(m, DType.BF16), arena), Map.of());
            }
            if (divisor == 1024f) {
                convert(ct, opt, "modelopt");
                convert(opt, back, "compressed-tensors");
                try (SafetensorsFile a = SafetensorsFile.open(ct); SafetensorsFile b = SafetensorsFile.open(back); SafetensorsFile o = SafetensorsFile.open(opt)) {
                    assertEquals(1 / 1024f, o.tensor("l.weight_scale_2").getFloat(0));
                    a.tensors().forEach((name, t) -> assertEquals(-1, t.data().mismatch(b.tensor(name).data()), name));
                }
            } else {
                String why = assertThrows(LossyException.class, () -> convert(ct, opt, "modelopt")).getMessage();
                assertTrue(why.contains("divides by 3000.7") && why.contains("lowbit quantize"), why);
                assertFalse(Files.exists(opt));
            }
        }
    }

    @Test
    void nestedScalesBecomePlain() throws IOException {
        Path out = folder.resolve("plain.safetensors");
        Path in = Golden.path("bnb_checkpoint.safetensors");
        try (Checkpoint c = Checkpoint.open(in)) {
            CheckpointConverter.convert(c, out, new CheckpointConverter.Options("bitsandbytes", true, 1), _ -> { });
        }
        try (SafetensorsFile got = SafetensorsFile.open(out); Checkpoint c = Checkpoint.open(out); Arena arena = Arena.ofShared();
                SafetensorsFile want = SafetensorsFile.open(Golden.path("bnb_checkpoint_expected.safetensors"))) {
            String layer = "model.layers.0.mlp.up_proj";
            assertEquals(DType.F32, got.tensor(layer + ".weight.absmax").dtype());
            assertFalse(got.has(layer + ".weight.nested_absmax"));
            Tensor f = Dequantizer.dequantize(Layouts.of(c).read(layer, arena), DType.F32, 1, arena);
            assertEquals(-1, want.tensor(layer + ".weight_f32").data().mismatch(f.data()));
            assertFalse(c.quantizationConfig().orElseThrow().bool("bnb_4bit_use_double_quant"));
        }
    }

    /** INT4 in groups of 64 with zero points of 8 becomes Q4_0: scales repeated, nothing changed. */
    @Test
    void int4BecomesQ40WhereItFits() throws IOException {
        Path in = folder.resolve("in.safetensors");
        Path out = folder.resolve("out.gguf");
        try (Arena arena = Arena.ofShared()) {
            QuantizedMatrix m = RandomMatrix.of(arena, new Scheme.Int4(Grouping.group(64), true), 48, 192, 2);
            SafetensorsWriter.write(in, new PackQuantizedLayout().write("l", m, LayerInfo.of(m, DType.F16), arena), Map.of());
        }
        convert(in, out, "gguf");
        try (Checkpoint a = Checkpoint.open(in); Checkpoint b = Checkpoint.open(out); Arena arena = Arena.ofShared()) {
            assertEquals(GgufType.Q4_0, b.ggufTypes().get("l.weight"));
            assertEquals(-1, SameValues.mismatch(Layouts.of(a).read("l", arena), Layouts.of(b).read("l", arena)));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "bnb_checkpoint, awq, nf4 b64 dq", "bnb_checkpoint, gguf, nf4 b64 dq", "gptq/sym_g128_actorder.v2, awq, act-order", "gptq/asym_g64.v2, gguf, zero points",
        "fp8/block128, modelopt, NVFP4 only"})
    void whatWouldLoseSomethingIsRefused(String file, String layout, String reason) throws IOException {
        Path out = folder.resolve("x." + (layout.equals("gguf") ? "gguf" : "safetensors"));
        Path config = Golden.path(file + ".config.json");
        try (Checkpoint c = Checkpoint.open(Golden.path(file + ".safetensors"), Files.exists(config) ? config : null)) {
            String why = assertThrows(IllegalArgumentException.class, () -> CheckpointConverter.convert(c, out, new CheckpointConverter.Options(layout, false, 2), _ -> { })).getMessage();
            assertTrue(why.contains(reason) && why.contains("lowbit quantize"), why);
        }
        try (Stream<Path> list = Files.list(folder)) {
            assertEquals(List.of(), list.toList());
        }
    }

    /** A sharded folder: shards kept, other tensors untouched, gone on with after a failure half-way. */
    @Test
    void shardsAreKeptAndAnInterruptedRunGoesOn() throws IOException {
        Path in = Files.createDirectory(folder.resolve("in"));
        sharded(in, 3);
        Path out = folder.resolve("out");
        try (Checkpoint c = Checkpoint.open(in)) {
            int[] seen = {0};
            assertThrows(IllegalStateException.class, () -> CheckpointConverter.convert(c, out, new CheckpointConverter.Options("gptq", false, 1), _ -> {
                if (++seen[0] == 5) {
                    throw new IllegalStateException("stop here");
                }
            }));
        }
        Path part = folder.resolve(".out.lowbit-part");
        assertTrue(Files.exists(part.resolve("model-00001-of-00003.safetensors")));
        assertFalse(Files.exists(part.resolve("model-00003-of-00003.safetensors")));
        Object made = Files.getAttribute(part.resolve("model-00001-of-00003.safetensors"), "unix:ino");
        try (Checkpoint c = Checkpoint.open(in)) {
            CheckpointConverter.convert(c, out, new CheckpointConverter.Options("gptq", false, 2), _ -> { });
        }
        assertEquals(made, Files.getAttribute(out.resolve("model-00001-of-00003.safetensors"), "unix:ino"));
        assertFalse(Files.exists(part));
        try (Checkpoint a = Checkpoint.open(in); Checkpoint b = Checkpoint.open(out); Arena arena = Arena.ofShared()) {
            for (String layer : Layouts.of(a).layers()) {
                assertEquals(-1, SameValues.mismatch(Layouts.of(a).read(layer, arena), Layouts.of(b).read(layer, arena)));
            }
            assertEquals(-1, a.tensor("model.embed_tokens.weight").data().mismatch(b.tensor("model.embed_tokens.weight").data()));
            JsonObject config = b.config().orElseThrow();
            assertEquals(64, config.integer("hidden_size"));
            assertTrue(config.bool("tie_word_embeddings"));
            assertFalse(b.has("lm_head.weight"));
            JsonObject q = config.object("quantization_config");
            assertEquals("gptq 4 32 true gptq", q.text("quant_method") + " " + q.integer("bits") + " " + q.integer("group_size") + " " + q.bool("sym") + " " + q.text("checkpoint_format"));
            assertTrue(Files.exists(out.resolve("tokenizer.json")) && Files.exists(out.resolve("quantize_config.json")));
        }
    }

    private static void sharded(Path in, int shards) throws IOException {
        StringBuilder map = new StringBuilder();
        for (int s = 1; s <= shards; s++) {
            String file = "model-0000" + s + "-of-0000" + shards + ".safetensors";
            try (Arena arena = Arena.ofShared()) {
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                for (int l = 0; l < 2; l++) {
                    QuantizedMatrix m = RandomMatrix.of(arena, new Scheme.Int4(Grouping.group(32), true), 64, 64, 10 * s + l);
                    tensors.putAll(new PackQuantizedLayout().write("model.layers." + (2 * s + l) + ".mlp.up_proj", m, LayerInfo.of(m, DType.F16), arena));
                }
                if (s == 1) {
                    tensors.put("model.embed_tokens.weight", RandomMatrix.floats(arena, new SplittableRandom(1), DType.BF16, 1f, true, 100, 64));
                }
                SafetensorsWriter.write(in.resolve(file), tensors, Map.of("format", "pt"));
                tensors.keySet().forEach(n -> map.append(map.isEmpty() ? "" : ", ").append('"').append(n).append("\": \"").append(file).append('"'));
            }
        }
        Files.writeString(in.resolve("model.safetensors.index.json"), "{\"metadata\": {}, \"weight_map\": {" + map + "}}");
        Files.writeString(in.resolve("config.json"), "{\"hidden_size\": 64, \"tie_word_embeddings\": true, \"quantization_config\": {\"quant_method\": \"compressed-tensors\"}}");
        Files.writeString(in.resolve("tokenizer.json"), "{}");
    }

    private static void convert(Path in, Path out, String layout) throws IOException {
        try (Checkpoint c = Checkpoint.open(in)) {
            CheckpointConverter.convert(c, out, new CheckpointConverter.Options(layout, false, 2), _ -> { });
        }
    }
}
