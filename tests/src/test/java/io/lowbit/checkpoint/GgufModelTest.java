package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.quant.GgmlQuantizer;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.SameValues;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Llama-family folders as GGUF files: llama.cpp's names, pairs and order of rows, and back under Hugging Face's. */
class GgufModelTest {
    private static final Path MODEL = Path.of(System.getProperty("lowbit.root"), "java-src/lowbit-cli/src/main/resources/io/lowbit/cli/demo-model");

    @TempDir
    Path folder;

    @Test
    void aFolderBecomesAGgufFileAndReadsBack() throws IOException {
        Path home = Files.createDirectory(folder.resolve("m"));
        Path file = home.resolve("model-q4_0.gguf");
        Scheme scheme = new Scheme.Int4(Grouping.group(32), true);
        try (Checkpoint c = Checkpoint.open(MODEL)) {
            CheckpointQuantizer.quantize(c, file, scheme, QuantizeOptions.DEFAULT, Layouts.named("gguf", scheme), new Globs(List.of(), List.of()), _ -> { });
        }
        try (GgufFile g = GgufFile.open(file)) {
            Map<String, GgufValue> p = g.pairs();
            assertEquals("llama", p.get("general.architecture").value());
            assertEquals(2L, p.get("general.file_type").value(), "mostly Q4_0");
            assertEquals(List.of(8L, 4L, 2L, 64L, 4096L, 768L), List.of(p.get("llama.block_count").value(), p.get("llama.attention.head_count").value(),
                    p.get("llama.attention.head_count_kv").value(), p.get("llama.rope.dimension_count").value(), p.get("llama.vocab_size").value(),
                    p.get("llama.feed_forward_length").value()));
            assertEquals(4096, p.get("tokenizer.ggml.tokens").length());
            assertEquals("<|endoftext|>", ((String[]) p.get("tokenizer.ggml.tokens").value())[0]);
            assertEquals(3, ((long[]) p.get("tokenizer.ggml.token_type").value())[0]);
            assertEquals(GgufType.Q4_0, g.types().get("blk.3.attn_q.weight"));
            assertEquals(GgufType.BF16, g.types().get("token_embd.weight"));
            assertEquals(GgufType.F32, g.types().get("blk.0.attn_norm.weight"));
            assertTrue(!g.types().containsKey("output.weight"), "tied weights stay tied");
            // row 1 of a head there is the first of its second half here
            try (Checkpoint c = Checkpoint.open(MODEL); Checkpoint q = Checkpoint.open(file); Arena arena = Arena.ofShared()) {
                QuantizedMatrix here = GgmlQuantizer.quantize(c.tensor("model.layers.3.self_attn.q_proj.weight"), scheme, arena);
                QuantizedMatrix there = Layouts.of(q).read("blk.3.attn_q", arena);
                for (int col = 0; col < 256; col++) {
                    assertEquals(here.value(64 + 32, col), there.value(64 + 1, col));
                    assertEquals(here.value(64 + 1, col), there.value(64 + 2, col));
                }
            }
        }
        try (Checkpoint a = Checkpoint.open(MODEL); Checkpoint b = Checkpoint.open(home); Arena arena = Arena.ofShared()) {
            Layouts layouts = Layouts.of(b);
            assertEquals(8 * 7, layouts.layers().size());
            for (String layer : layouts.layers()) {
                QuantizedMatrix want = GgmlQuantizer.quantize(a.tensor(layer + ".weight"), scheme, arena);
                assertEquals(-1, SameValues.mismatch(want, layouts.read(layer, arena)), layer);
            }
            assertEquals(-1, a.tensor("model.embed_tokens.weight").data().mismatch(b.tensor("model.embed_tokens.weight").data()));
            // and on to Hugging Face's files
            Path out = folder.resolve("hf");
            CheckpointConverter.convert(b, out, new CheckpointConverter.Options("compressed-tensors", false, 2), _ -> { });
            try (Checkpoint c = Checkpoint.open(out)) {
                assertEquals(-1, SameValues.mismatch(layouts.read("model.layers.5.self_attn.k_proj", arena), Layouts.of(c).read("model.layers.5.self_attn.k_proj", arena)));
            }
        }
    }

    /** Every type that is written out of floats is what ggml makes of them: bytes equal, or no worse where ggml searches. */
    @ParameterizedTest
    @ValueSource(strings = {"q4_0", "q4_1", "q8_0", "iq4_nl"})
    void ggmlsOwnRounding(String type) throws IOException {
        try (GgufFile f = GgufFile.open(Golden.path("gguf/all_types.gguf")); Arena arena = Arena.ofShared()) {
            Tensor source = f.tensors().get("blk.0.w_f32.weight");
            Tensor want = f.tensors().get("blk.0.w_" + type + ".weight");
            GgufType gguf = GgufType.valueOf(type.toUpperCase(java.util.Locale.ROOT));
            QuantizedMatrix m = GgmlQuantizer.quantize(source, gguf.scheme(), arena);
            Tensor got = new GgufLayout().write("x", m, LayerInfo.of(m, DType.F32), arena).get("x.weight");
            assertEquals(-1, want.data().mismatch(got.data()));
        }
    }
}
