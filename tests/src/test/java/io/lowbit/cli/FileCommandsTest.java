package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.Golden;
import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.checkpoint.SafetensorsWriter;
import io.lowbit.checkpoint.json.JsonReader;
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
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** quantize, dequantize, inspect and matmul, as a shell would run them. */
class FileCommandsTest {
    private static final String BNB = Golden.path("bnb_checkpoint.safetensors").toString();

    @TempDir
    Path folder;

    @Test
    void dequantizeGivesTheReferencesBits() throws IOException {
        Path out = folder.resolve("d.safetensors");
        Cli run = Cli.run("dequantize", BNB, out.toString(), "--dtype", "f32");
        assertEquals(0, run.exit(), run.err());
        try (SafetensorsFile got = SafetensorsFile.open(out); SafetensorsFile want = SafetensorsFile.open(Golden.path("bnb_checkpoint_expected.safetensors"))) {
            for (String layer : List.of("model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj")) {
                assertEquals(-1, got.tensor(layer + ".weight").data().mismatch(want.tensor(layer + ".weight_f32").data()));
            }
            assertTrue(got.has("model.layers.0.mlp.down_proj.bias"));
            assertEquals(3, got.tensors().size());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"})
    void matmulIsWithinTheErrorBound(String layer) throws IOException {
        Path x = folder.resolve("x.safetensors");
        Path y = folder.resolve("y.safetensors");
        try (SafetensorsFile want = SafetensorsFile.open(Golden.path("bnb_checkpoint_expected.safetensors"))) {
            SafetensorsWriter.write(x, Map.of("x", want.tensor(layer + ".x")), Map.of());
            Cli run = Cli.run("matmul", BNB, layer, x.toString(), y.toString(), "--backend", "cpu", "--out-dtype", "f32");
            assertEquals(0, run.exit(), run.err());
            try (SafetensorsFile got = SafetensorsFile.open(y)) {
                Tensor input = want.tensor(layer + ".x");
                Tensor w = want.tensor(layer + ".weight_f32");
                Tensor exact = want.tensor(layer + ".y_f64");
                Tensor result = got.tensor("y");
                long k = w.dim(1);
                for (long m = 0; m < input.dim(0); m++) {
                    for (long n = 0; n < w.dim(0); n++) {
                        double sum = 0;
                        for (long i = 0; i < k; i++) {
                            sum += Math.abs((double) input.getFloat(m * k + i) * w.getFloat(n * k + i));
                        }
                        double e = exact.data().get(java.lang.foreign.ValueLayout.JAVA_DOUBLE_UNALIGNED, 8 * (m * w.dim(0) + n));
                        double r = result.getFloat(m * w.dim(0) + n);
                        assertTrue(Math.abs(r - e) <= (k + 2) * 0x1p-24 * sum + Math.abs(e) * 0x1p-22, layer + " [" + m + ", " + n + "] " + r + " for " + e);
                    }
                }
            }
        }
    }

    @Test
    void quantizeInspectAndJson() throws IOException {
        Path in = weights(0.5f);
        Path out = folder.resolve("q.safetensors");
        Cli run = Cli.run("quantize", in.toString(), out.toString(), "--scheme", "nf4", "--double-quant", "--json");
        assertEquals(0, run.exit(), run.err());
        assertEquals("nf4 b64 dq", JsonReader.parseObject(run.out()).text("scheme"));
        Cli table = Cli.run("quantize", in.toString(), out.toString(), "--scheme", "fp8-e4m3");
        assertEquals(0, table.exit(), table.err());
        assertTrue(table.out().contains("a.proj") && table.out().contains("64x128") && table.out().contains("SQNR dB"), table.out());
        Cli seen = Cli.run("inspect", out.toString());
        assertEquals(0, seen.exit(), seen.err());
        assertTrue(seen.out().contains("fp8 e4m3 channel"), seen.out());
        Cli json = Cli.run("inspect", BNB, "--json");
        assertEquals(2, JsonReader.parseObject(json.out()).list("layers").size());
    }

    static Stream<Path> malformed() throws IOException {
        try (Stream<Path> list = Files.list(Golden.path("malformed"))) {
            return list.filter(p -> p.toString().endsWith(".safetensors") && !p.getFileName().toString().startsWith("ok_")).sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("malformed")
    void malformedFilesFailInOneLineAndNothingIsWritten(Path file) throws IOException {
        Path out = folder.resolve("o.safetensors");
        for (Cli run : List.of(Cli.run("inspect", file.toString()), Cli.run("quantize", file.toString(), out.toString(), "--scheme", "nf4"))) {
            assertEquals(1, run.exit());
            assertEquals(1, run.errLines().size(), run.err());
            assertTrue(run.err().startsWith("lowbit: " + file), run.err());
        }
        assertFalse(Files.exists(out));
    }

    @Test
    void refusals() throws IOException {
        Path in = weights(Float.NaN);
        Path out = folder.resolve("o.safetensors");
        Cli nan = Cli.run("quantize", in.toString(), out.toString(), "--scheme", "nf4");
        assertEquals(1, nan.exit());
        assertTrue(nan.err().contains("\"a.proj.weight\"") && nan.err().contains("[1, 2]"), nan.err());
        assertEquals(1, Cli.run("quantize", in.toString(), out.toString(), "--scheme", "nf4", "--layout", "gguf").exit());
        assertEquals(2, Cli.run("quantize", in.toString(), out.toString()).exit());
        assertEquals(2, Cli.run("quantize", in.toString(), out.toString(), "--scheme", "bf16").exit());
        assertEquals(1, Cli.run("dequantize", in.toString(), out.toString(), "--dtype", "f32").exit());
        assertEquals(1, Cli.run("matmul", BNB, "no.such", in.toString(), out.toString(), "--backend", "cpu").exit());
        assertFalse(Files.exists(out));
    }

    private Path weights(float special) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            Tensor t = Tensor.allocate(arena, DType.F32, 64, 128);
            for (int i = 0; i < t.elements(); i++) {
                t.setFloat(i, (float) Math.sin(i * 0.37));
            }
            t.setFloat(130, special);
            Path path = folder.resolve("w.safetensors");
            SafetensorsWriter.write(path, Map.of("a.proj.weight", t), Map.of());
            return path;
        }
    }
}
