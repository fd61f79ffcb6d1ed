package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.BackendOptions;
import io.lowbit.cpu.CpuBackend;
import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Every layer of the reference checkpoints: its bits, its product, and its own tensors again when it is written. */
class GoldenCheckpointsTest {
    @TempDir
    Path folder;

    static Stream<GoldenLayer> layers() {
        return GoldenLayer.all().stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("layers")
    void exact(GoldenLayer golden) throws IOException {
        try (Checkpoint c = golden.open(); SafetensorsFile e = SafetensorsFile.open(Golden.path(golden.expected())); Arena arena = Arena.ofShared();
                CpuBackend backend = new CpuBackend(new BackendOptions(2))) {
            Layouts layouts = Layouts.of(c);
            Layout layout = layouts.layout(golden.layer());
            assertEquals(golden.layout(), layout.name());
            QuantizedMatrix m = layouts.read(golden.layer(), arena);
            Tensor want = e.tensor(golden.prefix() + ".weight_f32");
            Tensor got = Dequantizer.dequantize(m, DType.F32, 2, arena);
            assertEquals(want.shape(), got.shape());
            for (long i = 0; i < want.elements(); i++) {
                assertEquals(Float.floatToRawIntBits(want.getFloat(i)), Float.floatToRawIntBits(got.getFloat(i)), golden + " " + i);
            }
            GoldenProducts.check(golden, backend, m, c, e);
            LayerInfo info = layout.describe(c, golden.layer());
            assertEquals(m.scheme(), info.scheme());
            assertEquals(m.n() + "x" + m.k() + m.groups(), info.n() + "x" + info.k() + (info.actOrder() ? m.groups() : null));
            writtenAgain(golden, c, layouts, m, info, arena);
        }
    }

    private static void writtenAgain(GoldenLayer golden, Checkpoint c, Layouts layouts, QuantizedMatrix m, LayerInfo info, Arena arena) {
        Layout layout = layouts.layout(golden.layer());
        if (layout.name().equals("gptq")) {
            layout = new GptqLayout(golden.file().contains(".v1.") ? "gptq_v1" : "gptq_v2");
        }
        Map<String, Tensor> written = layout.write(golden.layer(), m, info, arena);
        Map<String, TensorSpec> specs = layout.specs(golden.layer(), info);
        written.forEach((name, t) -> {
            Tensor there = c.tensor(name);
            if (specs != null) {
                assertEquals(specs.get(name), TensorSpec.of(t), name);
            }
            if (golden.layout().equals("fp8") && there.dtype() == DType.BF16) {
                return; // scales are widened
            }
            if (golden.file().contains("zero0.v1") && name.endsWith(".qzeros")) {
                return; // the file's borrows are not written again
            }
            assertEquals(TensorSpec.of(there), TensorSpec.of(t), name);
            assertEquals(-1, there.data().mismatch(t.data()), name);
        });
    }

    /** The reading by fields is the one that GPTQModel's file converter makes; both are reported. */
    @Test
    void theAmbiguousFileIsReportedAndReadsBothWays() throws IOException {
        Path file = Golden.path("gptq/asym_g64_zero0.v1.safetensors");
        try (Checkpoint c = Checkpoint.open(file, Golden.path("gptq/asym_g64_zero0.v1.config.json")); Arena arena = Arena.ofShared();
                SafetensorsFile e = SafetensorsFile.open(Golden.path("gptq/expected.safetensors"))) {
            String layer = "model.layers.3.self_attn.o_proj";
            Tensor got = Dequantizer.dequantize(Layouts.of(c).read(layer, arena), DType.F32, 1, arena);
            assertEquals(-1, e.tensor("asym_g64_zero0.weight_f32_v1_per_field").data().mismatch(got.data()));
            List<String> remarks = Layouts.of(c).layout(layer).remarks(c, layer);
            assertTrue(remarks.size() == 1 && remarks.getFirst().contains("hold a 15") && remarks.getFirst().contains("--gptq-zeros word"), remarks::toString);
        }
    }

    /** The label is wrong, the zero points tell. */
    @ParameterizedTest
    @CsvSource({"sym_g128.v2, sym_g128.v1", "sym_g128.v1, sym_g128.v2", "sym_g128_actorder.v2, sym_g128_actorder.v1"})
    void zeroPointsOfTheOtherVersionAreFound(String file, String config) throws IOException {
        try (Checkpoint c = Checkpoint.open(Golden.path("gptq/" + file + ".safetensors"), Golden.path("gptq/" + config + ".config.json")); Arena arena = Arena.ofShared();
                SafetensorsFile e = SafetensorsFile.open(Golden.path("gptq/expected.safetensors"))) {
            String layer = Layouts.of(c).layers().iterator().next();
            Tensor got = Dequantizer.dequantize(Layouts.of(c).read(layer, arena), DType.F32, 1, arena);
            assertEquals(-1, e.tensor(file.substring(0, file.length() - 3) + ".weight_f32").data().mismatch(got.data()));
            assertTrue(Layouts.of(c).layout(layer).remarks(c, layer).getFirst().contains("under the label"));
        }
    }

    @ParameterizedTest
    @CsvSource({"2", "3", "8"})
    void otherWidthsOfGptqAreRefusedByName(int bits) throws IOException {
        Path config = folder.resolve("c.json");
        Files.writeString(config, "{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": " + bits + ", \"group_size\": 128}}");
        try (Checkpoint c = Checkpoint.open(Golden.path("gptq/sym_g128.v1.safetensors"), config); Arena arena = Arena.ofShared()) {
            CheckpointException e = assertThrows(CheckpointException.class, () -> Layouts.of(c).read("model.layers.0.self_attn.q_proj", arena));
            assertEquals(Fault.UNSUPPORTED, e.fault());
            assertTrue(e.getMessage().contains("GPTQ with " + bits + " bits"), e.getMessage());
        }
    }
}
