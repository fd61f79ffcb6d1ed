package io.lowbit.llm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lowbit.checkpoint.SafetensorsFile;
import io.lowbit.cuda.CudaBackend;
import io.lowbit.cuda.Gpu;
import io.lowbit.cuda.driver.DeviceOutOfMemoryException;
import io.lowbit.quant.Grouping;
import io.lowbit.quant.Scheme;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** BF16 activations round what the reference keeps in F32: logits of up to some 20 are held to {@link #TOLERANCE}. */
@Tag("gpu")
@DisplayName("The shipped model in the memory of a GPU, against transformers")
class DemoModelGpuTest {
    /** Of logits, against F32's. */
    static final double TOLERANCE = 0.25;

    private static CudaBackend backend;
    private static LlamaModel model;
    private static SafetensorsFile expected;

    @BeforeAll
    static void load() throws IOException {
        backend = Gpu.open();
        model = Models.load(Models.DEMO, backend, null);
        expected = SafetensorsFile.open(Models.GOLDEN.resolve("expected.safetensors"));
    }

    @AfterAll
    static void close() {
        if (backend != null) {
            expected.close();
            model.close();
            backend.close();
        }
    }

    @Test
    void activationsStayOnTheGpu() {
        assertEquals("bf16", model.activations());
    }

    @Test
    void logitsAreWithinBf16sRounding() {
        int[] tokens = Models.ints(expected, "input_ids");
        float[] want = expected.tensor("logits").toFloats();
        try (Session session = model.newSession(tokens.length)) {
            session.append(tokens);
            float[] got = Models.logits(session, tokens.length);
            double worst = Models.largestDifference(got, want);
            double squares = 0;
            for (int i = 0; i < want.length; i++) {
                squares += Math.pow((double) got[i] - want[i], 2);
            }
            System.out.printf("demo model on the GPU: largest difference of %d logits %.2e, root mean square %.2e%n", want.length, worst,
                    Math.sqrt(squares / want.length));
            assertTrue(worst <= TOLERANCE, "largest difference " + worst);
        }
    }

    @Test
    void hiddenStateAfterTheFirstLayerIsWithinBf16sRounding() {
        int[] tokens = Models.ints(expected, "input_ids");
        float[] want = expected.tensor("hidden_after_layer_1").toFloats();
        float largest = 0;
        for (float v : want) {
            largest = Math.max(largest, Math.abs(v));
        }
        try (Session session = model.newSession(tokens.length)) {
            double worst = Models.largestDifference(session.hiddenAfter(tokens, tokens.length, 1), want);
            System.out.printf("demo model on the GPU: largest difference after layer 1 %.2e of %.2f%n", worst, largest);
            assertTrue(worst <= largest * 0x1p-6, "largest difference " + worst);
            float[] hidden = new float[want.length];
            session.embed(tokens, hidden);
            session.throughLayer(0, hidden, tokens.length);
            assertTrue(Models.largestDifference(hidden, want) <= largest * 0x1p-6);
        }
    }

    /** Fed the reference's own continuation, every greedy choice is the reference's but where two scores are closer than the tolerance. */
    @ParameterizedTest
    @ValueSource(strings = {"greedy_0", "greedy_1"})
    void greedyContinuationIsTheReferences(String name) {
        int[] all = Models.ints(expected, name);
        int other = 0;
        try (Session session = model.newSession(all.length)) {
            session.append(all, 0, 32);
            for (int at = 32; at < all.length; at++) {
                float[] logits = session.lastLogits().toFloats();
                int best = 0;
                for (int i = 1; i < logits.length; i++) {
                    best = logits[i] > logits[best] ? i : best;
                }
                if (best != all[at]) {
                    other++;
                    assertTrue(logits[best] - logits[all[at]] <= 2 * TOLERANCE, "token " + at + ": " + best + " instead of " + all[at]);
                }
                session.append(all[at]);
            }
        }
        System.out.printf("demo model on the GPU, %s: %d of %d greedy choices differ, all near ties%n", name, other, all.length - 32);
        assertTrue(other <= 3, other + " choices differ");
    }

    @ParameterizedTest(name = "in passes of {0}")
    @ValueSource(ints = {1, 3, 64, 300})
    void pieceByPieceGivesTheLogitsOfOnePass(int step) throws IOException {
        int[] tokens = Arrays.copyOf(Models.stream(), 300);
        float[] whole;
        try (Session session = model.newSession(300)) {
            session.append(tokens);
            whole = session.lastLogits().toFloats();
        }
        try (Session session = model.newSession(400)) {
            session.append(Models.stream(), 7000, 400);
            session.reset();
            for (int at = 0; at < 300; at += step) {
                session.append(tokens, at, Math.min(step, 300 - at));
            }
            double worst = Models.largestDifference(whole, session.lastLogits().toFloats());
            System.out.printf("demo model on the GPU, in passes of %d: largest difference %.2e%n", step, worst);
            assertTrue(worst <= TOLERANCE, "largest difference " + worst);
        }
    }

    /** The replayed graph gives the bits of launching each kernel, and both speeds are printed. */
    @Test
    void theGraphGivesTheBitsOfItsKernels() throws IOException {
        int[] prompt = Arrays.copyOf(Models.stream(), 64);
        for (Scheme scheme : Arrays.asList(null, new Scheme.Int4(Grouping.group(128), true), new Scheme.Bnb4(Scheme.Codebook.NF4, 64, true))) {
            try (LlamaModel loaded = Models.load(Models.DEMO, backend, scheme)) {
                float[] replayed = decode(loaded, prompt, 200, "with the graph");
                System.setProperty(CudaDecoder.GRAPH, "false");
                try {
                    assertArrayEquals(decode(loaded, prompt, 200, "without it"), replayed);
                } finally {
                    System.clearProperty(CudaDecoder.GRAPH);
                }
            }
        }
    }

    /** The last logits of a greedy continuation; prints the second run's speed. */
    private static float[] decode(LlamaModel model, int[] prompt, int tokens, String how) {
        try (Session session = model.newSession(prompt.length + tokens)) {
            Generator.generate(model, session, prompt, Sampler.greedy(), tokens, false, _ -> { });
            float[] first = session.lastLogits().toFloats();
            session.reset();
            Generator.Result result = Generator.generate(model, session, prompt, Sampler.greedy(), tokens, false, _ -> { });
            System.out.printf("demo model on the GPU, %s, %s: prompt %.0f tokens/s, decode %.0f tokens/s%n",
                    model.linears().firstEntry().getValue().scheme().label(), how, result.promptTokensPerSecond(), result.decodeTokensPerSecond());
            assertArrayEquals(first, session.lastLogits().toFloats(), "two runs");
            return first;
        }
    }

    @Test
    void sessionsOfOneModelRunAtOnceWithTheSameBits() throws Exception {
        int[] stream = Models.stream();
        List<float[]> alone = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            alone.add(lastLogits(stream, i * 100));
        }
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<float[]>> together = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                int from = i % 4 * 100;
                together.add(threads.submit(() -> lastLogits(stream, from)));
            }
            for (int i = 0; i < 16; i++) {
                assertArrayEquals(alone.get(i % 4), together.get(i).get(), "session " + i);
            }
        }
    }

    /** A prompt of 80 tokens, then 20 one by one. */
    private static float[] lastLogits(int[] stream, int from) {
        try (Session session = model.newSession(100)) {
            session.append(stream, from, 80);
            for (int i = 80; i < 100; i++) {
                session.append(stream[from + i]);
            }
            return session.lastLogits().toFloats();
        }
    }

    @Test
    void sessionsGiveTheirMemoryBack() throws IOException {
        lastLogits(Models.stream(), 0);
        long before = backend.context().freeBytes();
        for (int i = 0; i < 200; i++) {
            lastLogits(Models.stream(), i);
        }
        long lost = before - backend.context().freeBytes();
        System.out.println("200 sessions on the GPU: free memory changed by " + -lost + " bytes");
        assertTrue(lost < 8 << 20, lost + " bytes are gone");
    }

    /** A session that no GPU holds is refused with its type, and the next one works. */
    @Test
    void aSessionTooLargeForTheGpuLeavesEverythingAsItWas() throws IOException {
        float[] before = lastLogits(Models.stream(), 0);
        assertThrows(DeviceOutOfMemoryException.class, () -> model.newSession(100_000_000));
        assertArrayEquals(before, lastLogits(Models.stream(), 0));
    }

    @Test
    void aClosedModelIsRefused() throws IOException {
        LlamaModel loaded = Models.load(Models.DEMO, backend, null);
        Session session = loaded.newSession(16);
        session.append(1, 2, 3);
        session.append(4);
        session.append(5);
        loaded.close();
        loaded.close();
        assertThrows(IllegalStateException.class, () -> session.append(6));
        assertThrows(IllegalStateException.class, session::lastLogits);
        session.close();
        session.close();
        assertThrows(IllegalStateException.class, () -> loaded.newSession(4));
    }
}
