package io.lowbit.cli.selftest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.Backend;
import io.lowbit.backend.BackendOptions;
import io.lowbit.backend.Backends;
import io.lowbit.backend.Linear;
import io.lowbit.cli.Cli;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.QuantizeOptions;
import io.lowbit.quant.QuantizedMatrix;
import io.lowbit.quant.Scheme;
import io.lowbit.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The selftest passes on good code and fails on every kind of fault it is there to find. */
class SelfTestTest {
    private static List<GroupResult> formats(SelfTest.Vectors vectors) throws IOException {
        List<GroupResult> results = new ArrayList<>();
        SelfTest.formats(vectors, _ -> true, results::add);
        return results;
    }

    @Test
    void formatsPass() throws IOException {
        List<GroupResult> results = formats(SelfTest::fromJar);
        assertEquals(3, results.size());
        for (GroupResult result : results) {
            assertTrue(result.passed(), result.toString());
            assertTrue(result.checked() > 100, result.toString());
        }
    }

    /** One byte of the vectors changed: its group fails and says where, the others pass. */
    @ParameterizedTest(name = "{0}, byte {1} from the end")
    @CsvSource({"codes.safetensors, 10, decode tables", "encode.safetensors, 40, encode vectors"})
    void aChangedVectorFailsItsGroup(String name, int fromEnd, String group) throws IOException {
        List<GroupResult> results = formats(asked -> {
            byte[] bytes = SelfTest.fromJar(asked);
            if (asked.equals(name)) {
                bytes[bytes.length - fromEnd] ^= 0x15;
            }
            return bytes;
        });
        for (GroupResult result : results) {
            assertEquals(!result.group().equals(group), result.passed(), result.toString());
        }
        assertTrue(results.stream().anyMatch(r -> r.detail().contains("the first: ")), results.toString());
    }

    @ParameterizedTest(name = "{0} becomes {1}")
    @CsvSource({"a2e61c3f, a2e61c3e", "3033, 3034", "7d 7e 7e 7e, 7d 7e 7e 7f", "39bfe038, 39bfe039", "33bd40a3, 33bd40a2"})
    void aChangedBlockVectorFails(String good, String bad) throws IOException {
        List<GroupResult> results = formats(asked -> asked.endsWith(".txt")
                ? new String(SelfTest.fromJar(asked), StandardCharsets.UTF_8).replaceFirst(good, bad).getBytes(StandardCharsets.UTF_8)
                : SelfTest.fromJar(asked));
        assertFalse(results.getLast().passed(), results.toString());
    }

    @Test
    void missingVectorsFail() {
        assertThrows(IOException.class, () -> SelfTest.fromJar("absent.safetensors"));
        assertFalse(BlockVectors.run("# nothing here\n").passed());
    }

    @Test
    void productsPassOnTheCpu() {
        try (Backend cpu = Backends.open("cpu", new BackendOptions(2)).backend()) {
            GroupResult result = Products.run(cpu, new Scheme.Int4(Grouping.group(128), true), false);
            assertTrue(result.passed(), result.toString());
            GroupResult quick = Products.run(cpu, new Scheme.Int4(Grouping.group(128), true), true);
            assertTrue(quick.passed(), quick.toString());
            assertEquals(9 + 1, quick.checked());
            assertEquals(56 + 1, result.checked());
        }
    }

    /** A part of the groups, by words in their names: those and no others, and a word that is in none is refused. */
    @Test
    void onlyTheGroupsAskedFor() {
        Cli some = Cli.run("selftest", "--backend", "cpu", "--quick", "--only", "int4 sym g64,decode");
        assertEquals(0, some.exit(), some.err());
        assertEquals(List.of("ok    decode tables", "ok    cpu products int4 sym g64"),
                some.out().lines().filter(line -> line.startsWith("ok")).map(line -> line.substring(0, line.indexOf(':'))).toList());
        assertTrue(some.out().contains("2 groups, 1642 cases: all passed, of those asked for with --only"), some.out());
        Cli none = Cli.run("selftest", "--backend", "cpu", "--only", "int5");
        assertEquals(2, none.exit());
        assertTrue(none.err().contains("--only int5: no group has such a name"), none.err());
    }

    /** Groups are run by the names that their results have. */
    @Test
    void aGroupsNameIsItsResults() throws IOException {
        try (Backend cpu = Backends.open("cpu", new BackendOptions(2)).backend()) {
            List<String> ran = new ArrayList<>();
            SelfTest.formats(SelfTest::fromJar, _ -> true, r -> ran.add(r.group()));
            SelfTest.backend(SelfTest::fromJar, cpu, true, name -> name.contains("fp8") || name.contains("scales"), r -> ran.add(r.group()));
            assertEquals(SelfTest.names(List.of("cpu")).stream()
                    .filter(name -> !name.startsWith("cpu ") || name.contains("fp8") || name.contains("scales")).toList(), ran);
            assertEquals(List.of("gpu block vectors", "gpu quantizers"), SelfTest.names(List.of("gpu")).subList(3, 5));
        }
    }

    /** A backend whose products are a little off, or change from run to run, does not pass. */
    @ParameterizedTest(name = "{0}")
    @CsvSource({"scaled, of its bound", "drifting, different bits"})
    void wrongProductsFail(String fault, String reason) {
        try (Backend cpu = Backends.open("cpu", new BackendOptions(2)).backend()) {
            GroupResult result = Products.run(new Faulty(cpu, fault.equals("drifting")), new Scheme.Nvfp4(), false);
            assertFalse(result.passed());
            assertTrue(result.detail().contains(reason), result.toString());
        }
    }

    /** A backend that quantizes one code or one scale wrongly does not pass, however few. */
    @Test
    void wrongQuantizersFail() throws IOException {
        try (Backend cpu = Backends.open("cpu", new BackendOptions(2)).backend()) {
            String vectors = new String(SelfTest.fromJar("block-vectors.txt"), StandardCharsets.UTF_8);
            Faulty faulty = new Faulty(cpu, false);
            assertTrue(BlockVectors.run(vectors, cpu).passed());
            assertTrue(Quantizers.run(cpu).passed());
            assertFalse(BlockVectors.run(vectors, faulty).passed());
            GroupResult result = Quantizers.run(faulty);
            assertFalse(result.passed());
            assertTrue(result.detail().contains("quantized bytes are not the CPU's"), result.toString());
            assertEquals("faulty quantizers", result.group());
        }
    }

    /**
     * Real products with a fault.
     *
     * @param drifting only from the second product of a layer on, so that each product alone looks right
     */
    private record Faulty(Backend real, boolean drifting) implements Backend {
        @Override
        public String name() {
            return "faulty";
        }

        @Override
        public String description() {
            return "for a test";
        }

        @Override
        public Linear load(QuantizedMatrix weights, Tensor bias) {
            return new FaultyLinear(real.load(weights, bias), drifting);
        }

        @Override
        public QuantizedMatrix quantize(Tensor weights, Scheme scheme, QuantizeOptions options, Arena arena) {
            QuantizedMatrix m = real.quantize(weights, scheme, options, arena);
            byte first = m.codes().data().get(ValueLayout.JAVA_BYTE, 0);
            m.codes().data().set(ValueLayout.JAVA_BYTE, 0, (byte) (first ^ 1));
            return m;
        }

        @Override
        public void close() {}
    }

    private static final class FaultyLinear implements Linear {
        private final Linear real;
        private final boolean drifting;
        private int calls;

        private FaultyLinear(Linear real, boolean drifting) {
            this.real = real;
            this.drifting = drifting;
        }

        @Override
        public long outFeatures() {
            return real.outFeatures();
        }

        @Override
        public long inFeatures() {
            return real.inFeatures();
        }

        @Override
        public Scheme scheme() {
            return real.scheme();
        }

        @Override
        public long bytes() {
            return real.bytes();
        }

        @Override
        public void forward(Tensor x, Tensor y) {
            real.forward(x, y);
            if (!drifting || calls++ > 0) {
                y.setFloat(0, y.getFloat(0) * 1.01f + 0.001f);
            }
        }

        @Override
        public void close() {
            real.close();
        }
    }
}
