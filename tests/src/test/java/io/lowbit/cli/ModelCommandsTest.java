package io.lowbit.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cuda.Gpu;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("lowbit perplexity and lowbit generate")
class ModelCommandsTest {
    private static final String MODEL =
            Path.of(System.getProperty("lowbit.root"), "java-src/lowbit-cli/src/main/resources/io/lowbit/cli/demo-model").toString();

    @Test
    void perplexityPrintsItsProtocolAndARowForEachScheme() {
        Cli run = Cli.run("perplexity", MODEL, "--backend", "cpu", "--windows", "2", "--scheme", "none", "--scheme", "int4 sym g32");
        assertEquals(0, run.exit(), run.err());
        assertTrue(run.out().contains("85952 tokens, each document preceded by token 0"), run.out());
        assertTrue(run.out().contains("non-overlapping windows of 512 tokens, tail dropped"), run.out());
        assertTrue(run.out().matches("(?s).*\\nas stored +\\d+\\.\\d{4} .*\\nint4 sym g32 +\\d+\\.\\d{4} .*"), run.out());
    }

    @Test
    void perplexityAsJsonIsOneDocument() {
        Cli run = Cli.run("perplexity", MODEL, "--backend", "cpu", "--windows", "1", "--json", "--scheme", "none", "--scheme", "nf4");
        assertEquals(0, run.exit(), run.err());
        JsonObject document = JsonReader.parseObject(run.out());
        assertEquals(85952, document.integer("tokens"));
        assertEquals(2, document.list("results").size());
        JsonObject plain = (JsonObject) document.list("results").get(0);
        JsonObject nf4 = (JsonObject) document.list("results").get(1);
        assertEquals("nf4 b64", nf4.text("scheme"));
        assertEquals(511, nf4.integer("predicted_tokens"));
        assertTrue(nf4.integer("linear_bytes") < plain.integer("linear_bytes") / 3, run.out());
        assertNotEquals(plain.number("perplexity"), nf4.number("perplexity"));
    }

    @Test
    void generateContinuesThePromptTheSameWayForTheSameSeed() {
        List<String> command = List.of("generate", MODEL, "--backend", "cpu", "--prompt", "Call me", "--max-tokens", "24", "--ignore-eos");
        Cli first = run(command, "--seed", "7");
        assertEquals(0, first.exit(), first.err());
        assertTrue(first.out().startsWith("Call me"), first.out());
        assertTrue(first.err().matches("(?s).*prompt \\d+ tokens, \\d+ tokens/s; decode 24 tokens, \\d+ tokens/s.*"), first.err());
        assertEquals(first.out(), run(command, "--seed", "7").out());
        assertNotEquals(first.out(), run(command, "--seed", "8").out());
        Cli json = run(command, "--seed", "7", "--json");
        JsonObject document = JsonReader.parseObject(json.out());
        assertEquals(24, document.list("tokens").size());
        assertEquals(first.out().strip(), (document.text("prompt") + document.text("text")).strip());
    }

    /** Both commands on a GPU: BF16 activations, a measured perplexity near the CPU's, the same text for the same seed. */
    @Tag("gpu")
    @Test
    void bothRunOnTheGpu() {
        Gpu.require();
        double cpu = perplexity("cpu");
        double cuda = perplexity("cuda");
        assertEquals(cpu, cuda, 0.003 * cpu);
        assertNotEquals(cpu, cuda, "BF16 activations must show");
        List<String> command = List.of("generate", MODEL, "--backend", "cuda", "--prompt", "Call me", "--max-tokens", "24", "--ignore-eos");
        Cli first = run(command, "--seed", "7");
        assertEquals(0, first.exit(), first.err());
        assertTrue(first.err().matches("(?s).*decode 24 tokens, \\d+ tokens/s.*"), first.err());
        assertEquals(first.out(), run(command, "--seed", "7").out());
    }

    private static double perplexity(String backend) {
        Cli run = Cli.run("perplexity", MODEL, "--backend", backend, "--windows", "3", "--json");
        assertEquals(0, run.exit(), run.err());
        JsonObject document = JsonReader.parseObject(run.out());
        assertTrue(document.text("protocol").endsWith(backend.equals("cuda") ? "bf16 activations" : "f32 activations"), run.out());
        return ((JsonObject) document.list("results").getFirst()).number("perplexity");
    }

    private static Cli run(List<String> command, String... more) {
        String[] all = new String[command.size() + more.length];
        command.toArray(all);
        System.arraycopy(more, 0, all, command.size(), more.length);
        return Cli.run(all);
    }

    @Test
    void whatCannotBeDoneIsToldInOneLine(@TempDir Path empty) {
        for (String[] command : new String[][] {
            {"generate", empty.toString(), "--backend", "cpu", "--prompt", "x"},
            {"generate", MODEL, "--backend", "cpu", "--prompt", ""},
            {"generate", MODEL, "--backend", "cpu", "--prompt", "x", "--temperature", "-1"},
            {"generate", MODEL, "--backend", "cpu", "--prompt", "x", "--max-tokens", "5000"},
            {"perplexity", empty.toString(), "--backend", "cpu"},
            {"perplexity", MODEL, "--backend", "cpu", "--text", empty.resolve("absent.jsonl").toString()}}) {
            Cli run = Cli.run(command);
            assertEquals(1, run.exit(), String.join(" ", command));
            assertEquals(1, run.errLines().size(), run.err());
            assertTrue(run.err().startsWith("lowbit: "), run.err());
            assertEquals("", run.out());
        }
        assertEquals(2, Cli.run("perplexity", MODEL, "--windows", "0").exit());
        assertEquals(2, Cli.run("generate", MODEL).exit());
        assertEquals(2, Cli.run("generate", MODEL, "--prompt", "x", "--max-tokens", "0").exit());
    }
}
