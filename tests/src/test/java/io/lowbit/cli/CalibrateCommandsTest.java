package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.format.GoldenFile;
import io.lowbit.llm.LowbitVersion;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("lowbit quantize --algorithm, compare and advise")
class CalibrateCommandsTest {
    private static final String MODEL =
            Path.of(System.getProperty("lowbit.root"), "java-src/lowbit-cli/src/main/resources/io/lowbit/cli/demo-model").toString();
    private static final String TEXT = GoldenFile.folder().resolve("model/calibration.jsonl").toString();

    /** Two runs give the same bytes; AWQ's folded file runs as well as the model it was folded from. */
    @Test
    void calibratedCheckpointsAreRepeatableAndRunAsStored(@TempDir Path folder) throws IOException {
        for (String layout : new String[] {"gptq", "awq"}) {
            byte[][] files = new byte[2][];
            for (int i = 0; i < 2; i++) {
                Path out = folder.resolve(layout + i);
                Cli run = Cli.run("quantize", MODEL, out.toString(), "--scheme", "int4", "--asymmetric", "--algorithm", layout, "--layout", layout, "--calibration",
                        TEXT, "--samples", "1", "--backend", "cpu", "--threads", i == 0 ? "1" : "2");
                assertEquals(0, run.exit(), run.err());
                assertFalse(Files.exists(folder.resolve(layout + i + ".calibration")));
                files[i] = Files.readAllBytes(out.resolve("model.safetensors"));
            }
            assertArrayEquals(files[0], files[1]);
            String header = new String(files[0], 8, (int) ByteBuffer.wrap(files[0]).order(ByteOrder.LITTLE_ENDIAN).getLong(0), StandardCharsets.UTF_8);
            String manifest = JsonReader.parseObject(header).object("__metadata__").text("lowbit_manifest");
            JsonObject made = JsonReader.parseObject(manifest);
            assertEquals("lowbit " + LowbitVersion.number(), made.text("library"));
            assertTrue(LowbitVersion.number().matches("[0-9]+\\.[0-9]+.*"), LowbitVersion.number());
            assertEquals(List.of(layout, "int4 asym g128"), List.of(made.text("algorithm"), made.text("scheme")));
            assertEquals(64, made.text("calibration_sha256").length());
            Cli measured = Cli.run("perplexity", folder.resolve(layout + 0).toString(), "--backend", "cpu", "--windows", "1", "--json");
            assertEquals(0, measured.exit(), measured.err());
            double perplexity = ((JsonObject) JsonReader.parseObject(measured.out()).list("results").getFirst()).number("perplexity");
            Cli plain = Cli.run("perplexity", MODEL, "--backend", "cpu", "--windows", "1", "--json");
            double stored = ((JsonObject) JsonReader.parseObject(plain.out()).list("results").getFirst()).number("perplexity");
            assertTrue(Math.abs(perplexity / stored - 1) < 0.1, layout + ": " + perplexity + ", as stored " + stored);
        }
    }

    @Test
    void compareMeasuresEveryPairThatThereIs(@TempDir Path folder) throws IOException {
        Path page = folder.resolve("compare.html");
        Cli run = Cli.run("compare", MODEL, "--backend", "cpu", "--calibration", TEXT, "--samples", "1", "--windows", "1", "--scheme", "int4,nf4", "--algorithm",
                "rtn,hqq", "--report", page.toString(), "--json");
        assertEquals(0, run.exit(), run.err());
        JsonObject document = JsonReader.parseObject(run.out());
        assertEquals(List.of("as stored", "int4 sym g128 rtn", "int4 sym g128 hqq", "nf4 b64"),
                document.list("results").stream().map(r -> text((JsonObject) r)).toList());
        assertTrue(Files.readString(page).contains("class='front'"));
    }

    private static String text(JsonObject result) {
        return result.text("name");
    }

    @Test
    void adviceKeepsTheBudgetAndItsRecipeCanBeAppliedAgain(@TempDir Path folder) throws IOException {
        Path recipe = folder.resolve("recipe.json");
        Cli run = Cli.run("advise", MODEL, "--backend", "cpu", "--bits", "4.5", "--calibration", TEXT, "--samples", "1", "--scheme", "int4 sym g128,fp8-e4m3",
                "--recipe", recipe.toString(), "--apply", folder.resolve("mixed").toString(), "--windows", "2", "--json");
        assertEquals(0, run.exit(), run.err());
        JsonObject all = JsonReader.parseObject(run.out());
        JsonObject document = (JsonObject) all.list("recipes").getFirst();
        assertTrue(document.number("bits_per_weight") <= 4.5, run.out());
        assertEquals(56, document.object("layers").keys().size());
        assertEquals(List.of("int4 sym g128"), all.list("uniform").stream().map(u -> ((JsonObject) u).text("scheme")).toList());
        Cli stored = Cli.run("perplexity", folder.resolve("mixed").toString(), "--text", MODEL + "/test.jsonl", "--backend", "cpu", "--windows", "2", "--json");
        assertEquals(0, stored.exit(), stored.err());
        assertEquals(document.number("perplexity"), ((JsonObject) JsonReader.parseObject(stored.out()).list("results").getFirst()).number("perplexity"),
                "the checkpoint written runs as the mix that was measured");
        Cli again = Cli.run("quantize", MODEL, folder.resolve("again").toString(), "--recipe", recipe.toString());
        assertEquals(0, again.exit(), again.err());
        assertArrayEquals(tail(folder.resolve("mixed/model.safetensors")), tail(folder.resolve("again/model.safetensors")));
    }

    @Test
    void oneMeasurementServesSeveralBudgets(@TempDir Path folder) throws IOException {
        Path recipe = folder.resolve("recipe.json");
        String[] common = {"advise", MODEL, "--backend", "cpu", "--calibration", TEXT, "--samples", "1", "--recipe", recipe.toString()};
        Cli run = Cli.run(with(common, "--bits", "4.25,5", "--scheme", "int4,fp8-e4m3", "--windows", "1", "--no-uniform"));
        assertEquals(0, run.exit(), run.err());
        assertTrue(Files.exists(folder.resolve("recipe-4.25.json")) && Files.exists(folder.resolve("recipe-5.0.json")), run.out());
        assertTrue(run.out().contains("loss predicted") && run.out().contains("measured"), run.out());
        Cli small = Cli.run(with(common, "--bits", "2", "--scheme", "int4", "--windows", "1"));
        assertEquals(1, small.exit());
        assertTrue(small.err().contains("the smallest schemes take"), small.err());
        Cli two = Cli.run(with(common, "--bits", "4.25,5", "--scheme", "int4", "--apply", folder.resolve("mixed").toString()));
        assertEquals(2, two.exit());
        assertTrue(two.err().contains("give it one budget"), two.err());
    }

    private static String[] with(String[] common, String... more) {
        return Stream.concat(Arrays.stream(common), Arrays.stream(more)).toArray(String[]::new);
    }

    /** What lies behind the header: the manifests differ. */
    private static byte[] tail(Path file) throws IOException {
        byte[] all = Files.readAllBytes(file);
        int header = (int) ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        return Arrays.copyOfRange(all, 8 + header, all.length);
    }
}
