package io.lowbit.checkpoint;

import java.util.ArrayList;
import java.util.List;

/**
 * A quantized layer of the reference checkpoints and what it stands for.
 *
 * @param file the checkpoint
 * @param config its configuration, or null
 * @param layer its name in the file
 * @param layout as {@code inspect} calls it
 * @param expected the file of expected tensors
 * @param prefix of their names: {@code PREFIX.weight_f32}, {@code .x}, {@code .y_f64}
 * @param options how to read it
 */
public record GoldenLayer(String file, String config, String layer, String layout, String expected, String prefix, ReadOptions options) {
    private static final ReadOptions WORD = new ReadOptions(ReadOptions.GptqZeros.WORD);

    /** All but GGUF's, which have expected values of their own kind. */
    public static List<GoldenLayer> all() {
        List<GoldenLayer> out = new ArrayList<>();
        String[] names = {"sym_g128", "asym_g64", "sym_g128_actorder", "asym_g64_zero0"};
        String[] layers = {"0.self_attn.q_proj", "1.self_attn.k_proj", "2.self_attn.v_proj", "3.self_attn.o_proj"};
        for (int i = 0; i < names.length; i++) {
            for (String version : List.of("v1", "v2")) {
                String file = "gptq/" + names[i] + "." + version;
                // zero points of 0 in version 1: the reading that undoes what the writer did
                ReadOptions options = names[i].endsWith("zero0") && version.equals("v1") ? WORD : ReadOptions.DEFAULT;
                out.add(new GoldenLayer(file + ".safetensors", file + ".config.json", "model.layers." + layers[i], "gptq", "gptq/expected.safetensors", names[i], options));
            }
        }
        for (String[] l : new String[][] {{"gemm_g128", "gate_proj"}, {"gemm_g128", "down_proj"}, {"gemm_g64", "up_proj"}}) {
            out.add(of("awq/" + l[0], true, "model.layers.0.mlp." + l[1], "awq", "awq/expected"));
        }
        for (int i = 0; i < 4; i++) {
            out.add(of("compressed-tensors/pack_quantized", false, "model.layers." + i + ".self_attn.q_proj", "compressed-tensors", null));
        }
        for (int i = 0; i < 3; i++) {
            out.add(of("fp8/per_tensor_per_channel", false, "model.layers." + i + ".mlp.up_proj", "fp8", null));
        }
        for (String l : List.of("gate_proj", "up_proj", "down_proj")) {
            out.add(of("fp8/block128", true, "model.layers.0.mlp." + l, "fp8", null));
        }
        for (int i = 0; i < 2; i++) {
            out.add(of("nvfp4/compressed_tensors", false, "model.layers." + i + ".mlp.gate_proj", "compressed-tensors", null));
        }
        for (String l : List.of("up_proj", "down_proj")) {
            out.add(of("bnb_checkpoint", true, "model.layers.0.mlp." + l, "bitsandbytes", null));
        }
        return out;
    }

    private static GoldenLayer of(String file, boolean configured, String layer, String layout, String expected) {
        return new GoldenLayer(file + ".safetensors", configured ? file + ".config.json" : null, layer, layout,
                (expected == null ? file + "_expected" : expected) + ".safetensors", layer, ReadOptions.DEFAULT);
    }

    /** The checkpoint, open. */
    public Checkpoint open() throws java.io.IOException {
        return Checkpoint.open(Golden.path(file), config == null ? null : Golden.path(config)).with(options);
    }

    @Override
    public String toString() {
        return file + " " + layer;
    }
}
