package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.backend.Backend;
import io.lowbit.checkpoint.json.JsonObject;
import io.lowbit.checkpoint.json.JsonReader;
import io.lowbit.cuda.Gpu;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import io.lowbit.quant.Scheme.Bnb4;
import io.lowbit.quant.Scheme.Codebook;
import io.lowbit.quant.Scheme.Fp8;
import io.lowbit.quant.Scheme.Fp8Format;
import io.lowbit.quant.Scheme.Int4;
import java.io.IOException;
import java.nio.file.Files;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("Full-stream perplexity of the shipped model, every scheme against PyTorch's")
class PerplexityTest {
    /** Names in perplexity.json; null is the model as stored. */
    private static Map<String, Scheme> schemes() {
        Map<String, Scheme> schemes = new LinkedHashMap<>();
        schemes.put("none", null);
        schemes.put("int4 sym channel", new Int4(Grouping.CHANNEL, true));
        for (boolean symmetric : new boolean[] {true, false}) {
            for (int size : new int[] {128, 64, 32}) {
                Scheme scheme = new Int4(Grouping.group(size), symmetric);
                schemes.put(scheme.label(), scheme);
            }
        }
        schemes.put("nf4 b64", new Bnb4(Codebook.NF4, 64, false));
        schemes.put("bnb fp4 b64", new Bnb4(Codebook.FP4, 64, false));
        schemes.put("mxfp4 floor", new Scheme.Mxfp4());
        schemes.put("nvfp4", new Scheme.Nvfp4());
        schemes.put("fp8 e4m3 tensor", new Fp8(Fp8Format.E4M3, Grouping.TENSOR));
        schemes.put("fp8 e4m3 channel", new Fp8(Fp8Format.E4M3, Grouping.CHANNEL));
        schemes.put("fp8 e5m2 tensor", new Fp8(Fp8Format.E5M2, Grouping.TENSOR));
        return schemes;
    }

    private static JsonObject reference() throws IOException {
        return JsonReader.parseObject(Files.readAllBytes(Models.GOLDEN.resolve("perplexity.json"))).object("ppl");
    }

    @Test
    void everySchemeOfTheReferenceIsMeasured() throws IOException {
        assertEquals(reference().keys(), schemes().keySet());
    }

    static Stream<Arguments> cases() {
        return schemes().entrySet().stream().map(e -> Arguments.of(e.getKey(), e.getValue()));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void isCloseToTheReference(String name, Scheme scheme) throws IOException {
        double reference = reference().number(name);
        double tolerance = scheme == null ? 0.0005 : 0.003;
        int[] stream = Models.stream();
        try (Backend backend = Models.backend(); LlamaModel model = Models.load(Models.DEMO, backend, scheme)) {
            Perplexity.Result result = Perplexity.measure(model, stream, Integer.MAX_VALUE, _ -> { });
            System.out.printf("perplexity %-17s %9.5f, reference %9.5f (%+.4f %%), linear layers %8d bytes, %.1f s%n", name,
                    result.perplexity(), reference, 100 * (result.perplexity() / reference - 1), model.linearBytes(), result.seconds());
            assertEquals(stream.length / 512, result.windows());
            assertEquals(511L * result.windows(), result.predicted());
            assertEquals(reference, result.perplexity(), tolerance * reference);
        }
    }

    /** BF16 activations on the device; the model as stored, too, within 0.3 %. */
    @Tag("gpu")
    @ParameterizedTest(name = "{0}, on the GPU")
    @MethodSource("cases")
    void isCloseToTheReferenceOnTheGpu(String name, Scheme scheme) throws IOException {
        double reference = reference().number(name);
        int[] stream = Models.stream();
        try (Backend backend = Gpu.open(); LlamaModel model = Models.load(Models.DEMO, backend, scheme)) {
            Perplexity.Result result = Perplexity.measure(model, stream, Integer.MAX_VALUE, _ -> { });
            System.out.printf("perplexity on the GPU %-17s %9.5f, reference %9.5f (%+.4f %%), %.1f s%n", name, result.perplexity(), reference,
                    100 * (result.perplexity() / reference - 1), result.seconds());
            assertEquals(stream.length / 512, result.windows());
            assertEquals(reference, result.perplexity(), 0.003 * reference);
        }
    }

    @Test
    void aStreamShorterThanAWindowIsRefused() throws IOException {
        try (Backend backend = Models.backend(); LlamaModel model = Models.load(Models.DEMO, backend, null)) {
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class,
                    () -> Perplexity.measure(model, new int[511], Integer.MAX_VALUE, _ -> { }));
            assertTrue(e.getMessage().contains("511 tokens"), e.getMessage());
        }
    }
}
