package io.lowbit.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.Linear;
import io.lowbit.backend.ProductCase;
import io.lowbit.backend.RandomMatrix;
import io.lowbit.checkpoint.CheckpointException.Fault;
import io.lowbit.cpu.CpuBackend;
import io.lowbit.quant.Dequantizer;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.tensor.DType;
import io.lowbit.tensor.Shape;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The strict GGUF reader: ggml's own file bit for bit, every malformed one refused by file and reason. */
class GgufFileTest {
    private static final Path ALL = Golden.path("gguf/all_types.gguf");

    /** Each block type dequantizes to ggml's f32 bits, and its product keeps the bound on the CPU. */
    @ParameterizedTest
    @ValueSource(strings = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_K", "q5_K", "q6_K", "iq4_nl", "iq4_xs", "mxfp4", "nvfp4"})
    void blocksAreGgmlsBits(String type) throws IOException {
        try (Checkpoint c = Checkpoint.open(ALL); SafetensorsFile e = SafetensorsFile.open(Golden.path("gguf/expected.safetensors"));
                CpuBackend backend = new CpuBackend(new BackendOptions(2)); Arena arena = Arena.ofShared()) {
            Layouts layouts = Layouts.of(c);
            String layer = "blk.0.w_" + type;
            assertEquals("gguf", layouts.layout(layer).name());
            QuantizedMatrix m = layouts.read(layer, arena);
            assertEquals(Shape.of(64, 512), Shape.of(m.n(), m.k()));
            // ggml gives no expected values for iq4_xs: its matrix is held to the original's instead
            Tensor want = e.tensor(type.equals("iq4_xs") ? "dequant.iq4_nl" : "dequant." + type);
            Tensor got = Dequantizer.dequantize(m, DType.F32, 2, arena);
            double error = 0;
            double size = 0;
            for (long i = 0; i < want.elements(); i++) {
                if (!type.equals("iq4_xs")) {
                    assertEquals(Float.floatToRawIntBits(want.getFloat(i)), Float.floatToRawIntBits(got.getFloat(i)), type + " " + i);
                }
                assertEquals(Float.floatToRawIntBits(got.getFloat(i)), Float.floatToRawIntBits(m.value(i / 512, i % 512)), type + " " + i);
                error += Math.pow((double) got.getFloat(i) - want.getFloat(i), 2);
                size += Math.pow(want.getFloat(i), 2);
            }
            assertTrue(error <= 0.02 * size, type + " " + error / size);
            Tensor x = RandomMatrix.floats(arena, new SplittableRandom(1), DType.F32, 1f, true, 3, 512);
            Tensor y = Tensor.allocate(arena, DType.F32, 3, 64);
            try (Linear linear = backend.load(m)) {
                linear.forward(x, y);
            }
            double worst = ProductCase.worst(m, null, x, y, 1);
            assertTrue(worst <= 1, type + ": error is " + worst + " of its bound");
            layouts.layout(layer).write(layer, m, layouts.layout(layer).describe(c, layer), arena).forEach((name, t) -> assertEquals(-1, c.tensor(name).data().mismatch(t.data()), name));
        }
    }

    @ParameterizedTest
    @CsvSource({"f32, F32", "f16, F16", "bf16, BF16"})
    void plainTypes(String name, DType dtype) throws IOException {
        try (GgufFile f = GgufFile.open(ALL); SafetensorsFile e = SafetensorsFile.open(Golden.path("gguf/expected.safetensors"))) {
            Tensor got = f.tensors().get("blk.0.w_" + name + ".weight");
            assertEquals(TensorSpec.of(dtype, 64, 512), TensorSpec.of(got));
            Tensor want = e.tensor(name.equals("f32") ? "matrix" : "dequant." + name);
            for (long i = 0; i < want.elements(); i++) {
                assertEquals(Float.floatToRawIntBits(want.getFloat(i)), Float.floatToRawIntBits(got.getFloat(i)));
            }
        }
    }

    @Test
    void otherShapesAndEveryKindOfValue() throws IOException {
        try (GgufFile f = GgufFile.open(ALL)) {
            Tensor bias = f.tensors().get("blk.0.bias");
            Tensor cube = f.tensors().get("blk.0.cube");
            assertEquals(Shape.of(2, 3, 5), cube.shape());
            for (int i = 0; i < 7; i++) {
                assertEquals(i / 2f - 1, bias.getFloat(i));
            }
            for (int i = 0; i < 30; i++) {
                assertEquals(i - 15.5f, cube.getFloat(i));
            }
            record Pair(String key, Object value) {}
            for (Pair p : List.of(new Pair("t.u8", 250L), new Pair("t.i8", -100L), new Pair("t.u16", 65000L), new Pair("t.i16", -30000L),
                    new Pair("t.u32", 4000000000L), new Pair("t.i32", -2000000000L), new Pair("t.f32", (double) -0.1f),
                    new Pair("t.u64", Long.parseUnsignedLong("18000000000000000000")), new Pair("t.i64", -9000000000000000000L),
                    new Pair("t.f64", 3.141592653589793), new Pair("t.bool", true), new Pair("t.empty", ""),
                    new Pair("general.name", "golden ü — 量子 test"))) {
                assertEquals(p.value, f.pairs().get(p.key).value(), p.key);
            }
            assertEquals("18000000000000000000", f.pairs().get("t.u64").toString());
            assertEquals(List.of("a", "", "ßtring"), List.of((String[]) f.pairs().get("t.arr_str").value()));
            org.junit.jupiter.api.Assertions.assertArrayEquals(new long[] {1, -2, 3}, (long[]) f.pairs().get("t.arr_i32").value());
            org.junit.jupiter.api.Assertions.assertArrayEquals(new boolean[] {true, false, true, true}, (boolean[]) f.pairs().get("t.arr_bool").value());
            assertEquals(1e30f, (float) ((double[]) f.pairs().get("t.arr_f32").value())[3]);
        }
    }

    @Test
    void alignmentIsTheFiles() throws IOException {
        try (Checkpoint c = Checkpoint.open(Golden.path("gguf/align64.gguf")); SafetensorsFile e = SafetensorsFile.open(Golden.path("gguf/expected.safetensors"));
                Arena arena = Arena.ofShared()) {
            for (String name : List.of("a", "b", "c")) {
                Tensor want = e.tensor("align64." + name + ".weight");
                assertEquals(TensorSpec.of(want), TensorSpec.of(c.tensor(name + ".weight")));
                assertEquals(-1, want.data().mismatch(c.tensor(name + ".weight").data()));
            }
            Tensor d = Dequantizer.dequantize(Layouts.of(c).read("d", arena), DType.F32, 1, arena);
            assertEquals(-1, e.tensor("align64.d.weight").data().mismatch(d.data()));
        }
    }

    static Stream<Path> malformed() throws IOException {
        try (Stream<Path> list = Files.list(Golden.path("malformed"))) {
            return list.filter(p -> p.toString().endsWith(".gguf") && !p.getFileName().toString().startsWith("ok_")).sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("malformed")
    void malformedFilesAreRefusedByFileAndReason(Path file) {
        CheckpointException e = assertThrows(CheckpointException.class, () -> GgufFile.open(file).close());
        SafetensorsFileTest.assertOneLine(e, file);
    }

    @Test
    void theControlIsAccepted() throws IOException {
        try (GgufFile f = GgufFile.open(Golden.path("malformed/ok_control.gguf"))) {
            assertTrue(!f.tensors().isEmpty());
        }
    }

    @ParameterizedTest
    @CsvSource({"bad_magic, HEADER", "version_99, UNSUPPORTED", "big_endian, UNSUPPORTED", "n_tensors_huge, LIMIT", "array_len_huge, LIMIT",
        "dims_overflow, OVERFLOW", "offset_misaligned, OFFSET", "offset_overlap, OFFSET", "data_truncated, INCOMPLETE", "duplicate_key, METADATA",
        "duplicate_tensor, TENSOR_INFO", "ragged_block, MISALIGNED", "bad_tensor_type, UNSUPPORTED", "truncated_tensor_infos, HEADER_LENGTH"})
    void theReasonIsTheRightOne(String file, Fault fault) {
        CheckpointException e = assertThrows(CheckpointException.class, () -> GgufFile.open(Golden.path("malformed/" + file + ".gguf")).close());
        assertEquals(fault, e.fault(), e.getMessage());
    }

    @Test
    void aTypeThatLowbitDoesNotReadIsNamed() {
        assertEquals("q2_k", GgufType.byId(10).label());
        assertNotNull(GgufType.valueOf("q3_k".toUpperCase(Locale.ROOT)));
    }
}
