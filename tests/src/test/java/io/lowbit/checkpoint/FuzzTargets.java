package io.lowbit.checkpoint;

import io.lowbit.checkpoint.json.JsonException;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.checkpoint.json.JsonWriter;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A fuzz target for each reader: bytes go in, and what comes out is a value or the reader's own exception. Anything else
 * is a finding. Readers are called on memory, so that an input costs microseconds.
 *
 * <p>A million inputs each, by hand: {@code java … -cp … io.lowbit.checkpoint.FuzzTargets 1000000 [seed]}.
 */
public final class FuzzTargets {
    /** Takes one input; throws what the reader throws. */
    interface Target {
        void read(byte[] input) throws Exception;
    }

    /** What a run gave. */
    record Outcome(String target, long inputs, long accepted, long refused) {}

    private FuzzTargets() {}

    public static void main(String[] args) throws Exception {
        long inputs = args.length > 0 ? Long.parseLong(args[0]) : 1_000_000;
        long seed = args.length > 1 ? Long.parseLong(args[1]) : 1;
        for (String target : List.of("safetensors", "gguf", "json", "layouts")) {
            long start = System.nanoTime();
            Outcome o = run(target, inputs, seed);
            System.out.printf("%-12s %,d mutated inputs, seed %d: %,d accepted, %,d refused by type, 0 untyped exceptions, %.0f s%n", o.target, o.inputs, seed, o.accepted,
                    o.refused, (System.nanoTime() - start) * 1e-9);
        }
    }

    /** Runs a target; the first untyped exception ends it as an {@link AssertionError} with the input in hexadecimal. */
    static Outcome run(String name, long inputs, long seed) throws IOException {
        Target target = switch (name) {
            case "safetensors" -> FuzzTargets::safetensors;
            case "gguf" -> FuzzTargets::gguf;
            case "json" -> FuzzTargets::json;
            default -> new LayoutTarget()::read;
        };
        Mutator mutator = new Mutator(seeds(name), seed);
        long accepted = 0;
        long refused = 0;
        for (long i = 0; i < inputs; i++) {
            byte[] input = mutator.next();
            try {
                target.read(input);
                accepted++;
            } catch (CheckpointException | JsonException e) {
                refused++;
            } catch (Throwable e) {
                throw new AssertionError(name + ", seed " + seed + ", input " + i + ": " + java.util.HexFormat.of().formatHex(input), e);
            }
        }
        return new Outcome(name, inputs, accepted, refused);
    }

    private static void safetensors(byte[] input) {
        MemorySegment file = MemorySegment.ofArray(input);
        SafetensorsHeader header = SafetensorsHeader.read("fuzz.safetensors", file, SafetensorsLimits.DEFAULT);
        MemorySegment data = file.asSlice(header.dataStart());
        header.entries().forEach(e -> new Tensor(e.spec().dtype(), e.spec().shape(), data.asSlice(e.begin(), e.end() - e.begin())));
    }

    private static void gguf(byte[] input) {
        MemorySegment file = MemorySegment.ofArray(input);
        GgufHeader header = GgufHeader.read("fuzz.gguf", file);
        header.tensors().forEach(t -> file.asSlice(header.dataStart() + t.begin(), t.bytes()));
        header.pairs().values().forEach(GgufValue::toString);
    }

    private static void json(byte[] input) {
        JsonObject o = JsonReader.parseObject(input);
        JsonReader.parseObject(JsonWriter.write(o, JsonWriter.Style.COMPACT));
    }

    /** Configurations in front of the layers of golden checkpoints: what the configuration says must not break a reader. */
    private static final class LayoutTarget implements Target {
        private final List<Map<String, Tensor>> models = new ArrayList<>();
        private final Arena memory = Arena.ofAuto();
        private int turn;

        LayoutTarget() throws IOException {
            for (String file : List.of("gptq/asym_g64.v1", "gptq/sym_g128_actorder.v2", "awq/gemm_g64", "compressed-tensors/pack_quantized", "fp8/block128",
                    "nvfp4/compressed_tensors")) {
                try (SafetensorsFile f = SafetensorsFile.open(Golden.path(file + ".safetensors"), SafetensorsLimits.DEFAULT, FileAccess.COPY)) {
                    Map<String, Tensor> copy = new LinkedHashMap<>();
                    f.tensors().forEach((n, t) -> {
                        if (copy.size() < 5) {
                            copy.put(n, new Tensor(t.dtype(), t.shape(), memory.allocate(Math.max(1, t.data().byteSize()), 64).asSlice(0, t.data().byteSize()).copyFrom(t.data())));
                        }
                    });
                    models.add(copy);
                }
            }
        }

        @Override
        public void read(byte[] input) {
            JsonObject config = JsonReader.parseObject(input);
            Map<String, Tensor> model = models.get(turn++ % models.size());
            Checkpoint c = Checkpoint.ofParts(Path.of("fuzz.safetensors"), reshaped(model), Map.of(), config);
            Layouts layouts = Layouts.of(c);
            for (String layer : layouts.layers()) {
                layouts.describe(layer);
                layouts.layout(layer).remarks(c, layer);
                try (Arena arena = Arena.ofConfined()) {
                    QuantizedMatrix m = turn % 16 == 0 ? layouts.read(layer, arena) : null;
                    if (m != null && m.n() * m.k() > 0) {
                        m.value(m.n() - 1, m.k() - 1);
                    }
                }
            }
        }

        /** Every third time one part has another shape or type. */
        private Map<String, Tensor> reshaped(Map<String, Tensor> model) {
            if (turn % 3 != 0) {
                return model;
            }
            Map<String, Tensor> out = new LinkedHashMap<>(model);
            List<String> names = List.copyOf(model.keySet());
            String name = names.get(turn / 3 % names.size());
            Tensor t = model.get(name);
            long bytes = t.data().byteSize();
            switch (turn / 3 % 5) {
                case 0 -> out.put(name, new Tensor(DType.U8, Shape.of(bytes), t.data()));
                case 1 -> out.put(name, new Tensor(DType.I32, Shape.of(1, bytes / 4), t.data().asSlice(0, bytes / 4 * 4)));
                case 2 -> out.put(name, new Tensor(DType.F16, Shape.of(bytes / 2, 1), t.data().asSlice(0, bytes / 2 * 2)));
                case 3 -> out.put(name, new Tensor(t.dtype(), Shape.of(0), t.data().asSlice(0, 0)));
                default -> out.remove(name);
            }
            return out;
        }
    }

    private static List<byte[]> seeds(String name) throws IOException {
        List<byte[]> out = new ArrayList<>();
        switch (name) {
            case "safetensors" -> files("malformed", ".safetensors", out);
            case "gguf" -> {
                files("malformed", ".gguf", out);
                byte[] all = Files.readAllBytes(Golden.path("gguf/all_types.gguf"));
                out.add(java.util.Arrays.copyOf(all, 6000));
                out.add(Files.readAllBytes(Golden.path("gguf/align64.gguf")));
            }
            default -> {
                files("gptq", ".json", out);
                files("awq", ".json", out);
                files("fp8", ".json", out);
                files(".", ".json", out);
                files("llm/mistral-window", ".json", out);
                out.add("{\"quantization_config\": {\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\", \"config_groups\": {\"group_0\": {\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 4, \"group_size\": 128}}}}}".getBytes());
                out.add("{\"bits\": 4, \"group_size\": 64, \"dynamic\": {\"+:.*q_proj\": {\"bits\": 8}, \"-:lm_head\": {}}, \"sym\": true, \"checkpoint_format\": \"gptq_v2\"}".getBytes());
                out.add("{\"quant_method\": \"fp8\", \"bits\": 8, \"group_size\": 1, \"weight_block_size\": [128, 64]}".getBytes());
            }
        }
        return out;
    }

    private static void files(String folder, String ending, List<byte[]> out) throws IOException {
        try (Stream<Path> list = Files.list(Golden.path(folder))) {
            for (Path p : list.filter(p -> p.toString().endsWith(ending)).sorted().toList()) {
                if (Files.size(p) < 100_000) {
                    out.add(Files.readAllBytes(p));
                }
            }
        }
    }
}
