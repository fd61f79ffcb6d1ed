package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.Golden;
import io.lowbit.checkpoint.GoldenLayer;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.checkpoint.SafetensorsWriter;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** convert, verify and inspect, as a shell would run them. */
class ConvertVerifyCommandsTest {
    @TempDir
    Path folder;

    @Test
    void convertAndInspect() {
        Path out = folder.resolve("o.safetensors");
        Cli run = Cli.run("convert", golden("awq/gemm_g128.safetensors"), out.toString(), "--layout", "gptq", "--json");
        assertEquals(0, run.exit(), run.err());
        assertEquals(2, JsonReader.parseObject(run.out()).list("layers").size());
        Cli seen = Cli.run("inspect", out.toString(), "--json");
        JsonObject layer = (JsonObject) JsonReader.parseObject(seen.out()).list("layers").getFirst();
        assertEquals("gptq int4 asym g128", layer.text("layout") + " " + layer.text("scheme"));
        assertEquals(0, Cli.run("verify", out.toString()).exit());
    }

    @Test
    void refusalsNameTheReasonAndTheCommand() {
        Path out = folder.resolve("o.safetensors");
        Cli run = Cli.run("convert", golden("bnb_checkpoint.safetensors"), out.toString(), "--layout", "awq");
        assertEquals(1, run.exit());
        assertEquals(1, run.errLines().size(), run.err());
        assertTrue(run.err().contains("nf4 b64 dq") && run.err().contains("lowbit quantize"), run.err());
        assertEquals(1, Cli.run("convert", golden("bnb_checkpoint.safetensors"), out.toString(), "--layout", "nothing").exit());
        assertEquals(2, Cli.run("convert", golden("bnb_checkpoint.safetensors"), out.toString()).exit());
    }

    static Stream<GoldenLayer> clean() {
        return GoldenLayer.all().stream().filter(g -> !g.file().contains("zero0.v1"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("clean")
    void cleanCheckpointsHaveNoFindings(GoldenLayer golden) {
        List<String> args = new ArrayList<>(List.of("verify", golden(golden.file())));
        if (golden.config() != null) {
            args.addAll(List.of("--config", golden(golden.config())));
        }
        Cli run = Cli.run(args.toArray(String[]::new));
        assertEquals(0, run.exit(), run.out() + run.err());
    }

    @Test
    void ggmlsFileIsClean() {
        Cli run = Cli.run("verify", golden("gguf/all_types.gguf"));
        assertEquals(0, run.exit(), run.out());
    }

    @ParameterizedTest
    @CsvSource({"asym_g64_zero0.v1, asym_g64_zero0.v1, hold a 15", "sym_g128.v2, sym_g128.v1, version 2 under the label"})
    void zeroPointsOfDoubtfulVersion(String file, String config, String found) {
        Cli run = Cli.run("verify", golden("gptq/" + file + ".safetensors"), "--config", golden("gptq/" + config + ".config.json"));
        assertEquals(1, run.exit());
        assertTrue(run.out().contains(found), run.out());
        assertEquals(1, run.errLines().size());
    }

    /** One damage each to a clean file. */
    @Test
    void damagesAreFound() throws IOException {
        String gate = "model.layers.0.mlp.gate_proj";
        damaged("awq/gemm_g128", t -> ushort(t.get(gate + ".scales"), 5, 0x7e00), "NaN or infinite");
        damaged("awq/gemm_g128", t -> ushort(t.get(gate + ".scales"), 5, 0x7c00), "NaN or infinite");
        damaged("awq/gemm_g128", t -> ushort(t.get(gate + ".scales"), 5, 0), "scales are 0");
        damaged("awq/gemm_g128", t -> t.remove(gate + ".qzeros"), "no qzeros");
        damaged("awq/gemm_g128", t -> t.remove(gate + ".scales"), "no scales");
        damaged("nvfp4/compressed_tensors", t -> t.get(gate + ".weight_scale").data().set(ValueLayout.JAVA_BYTE, 3, (byte) 0x7f), "NaN or infinite");
        damaged("fp8/block128", t -> t.remove(gate + ".weight_scale_inv"), "neither weight_scale nor");
        damaged("fp8/block128", t -> t.get(gate + ".weight").data().set(ValueLayout.JAVA_BYTE, 77, (byte) 0xff), "codes are NaN");
        damaged("fp8/block128", t -> t.put(gate + ".weight_scale_inv", t.get(gate + ".weight_scale_inv").reshape(2, 1)), "expected");
        damaged("bnb_checkpoint", t -> ushort(t.get("model.layers.0.mlp.down_proj.bias"), 1, 0x7fc0), "elements are NaN");
    }

    private void damaged(String file, Consumer<Map<String, Tensor>> damage, String found) throws IOException {
        Path path = folder.resolve("d.safetensors");
        try (SafetensorsFile f = SafetensorsFile.open(Golden.path(file + ".safetensors"))) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            f.tensors().forEach((n, t) -> tensors.put(n, new Tensor(t.dtype(), t.shape(), MemorySegment.ofArray(t.data().toArray(ValueLayout.JAVA_BYTE)))));
            damage.accept(tensors);
            SafetensorsWriter.write(path, tensors, Map.of());
        }
        Cli run = Cli.run("verify", path.toString(), "--json");
        assertEquals(1, run.exit(), run.out());
        String all = JsonReader.parseObject(run.out()).list("findings").toString();
        assertTrue(all.contains(found), found + " in " + all);
        assertEquals(1, run.errLines().size(), run.err());
    }

    private static void ushort(Tensor t, long index, int bits) {
        t.data().set(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * index, (short) bits);
    }

    private static String golden(String name) {
        return Golden.path(name).toString();
    }
}
