package io.lowbit.checkpoint;

import io.lowbit.backend.RandomMatrix;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes a sharded folder in AutoAWQ's layout as large as is asked for, to convert it by hand: layers of 4096 × 11008 in
 * shards of about 2 GB, random codes, zero points and scales.
 *
 * <p>{@code java … -cp … io.lowbit.checkpoint.SyntheticCheckpoint FOLDER GIGABYTES}
 */
public final class SyntheticCheckpoint {
    private static final int N = 4096;
    private static final int K = 11008;
    private static final long SHARD = 2_000_000_000L;

    private SyntheticCheckpoint() {}

    public static void main(String[] args) throws IOException {
        System.out.println(write(Path.of(args[0]), (long) (Double.parseDouble(args[1]) * 1e9)) + " bytes of tensors");
    }

    static long write(Path folder, long bytes) throws IOException {
        Files.createDirectories(folder);
        Scheme.Int4 scheme = new Scheme.Int4(Grouping.group(128), false);
        AwqLayout awq = new AwqLayout();
        LayerInfo info = new LayerInfo(scheme, N, K, DType.F16);
        long layer = awq.specs("x", info).values().stream().mapToLong(TensorSpec::bytes).sum();
        int layers = (int) Math.max(1, bytes / layer);
        int perShard = (int) Math.max(1, SHARD / layer);
        int shards = Math.ceilDiv(layers, perShard);
        List<String> map = new ArrayList<>();
        try (Arena arena = Arena.ofShared()) {
            List<Map<String, Tensor>> parts = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                QuantizedMatrix m = RandomMatrix.of(arena, scheme, N, K, i);
                parts.add(awq.write("x", m, info, arena));
            }
            for (int s = 0; s < shards; s++) {
                String file = String.format("model-%05d-of-%05d.safetensors", s + 1, shards);
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                for (int l = s * perShard; l < Math.min(layers, (s + 1) * perShard); l++) {
                    String name = "model.layers." + l + ".mlp.down_proj";
                    parts.get(l % parts.size()).forEach((part, t) -> tensors.put(name + part.substring(1), t));
                }
                SafetensorsWriter.write(folder.resolve(file), tensors, Map.of("format", "pt"));
                tensors.keySet().forEach(n -> map.add("\"" + n + "\": \"" + file + "\""));
            }
        }
        Files.writeString(folder.resolve("model.safetensors.index.json"), "{\"metadata\": {}, \"weight_map\": {" + String.join(", ", map) + "}}");
        Files.writeString(folder.resolve("config.json"), "{\"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 128, \"version\": \"gemm\", \"zero_point\": true}}");
        return layers * layer;
    }
}
